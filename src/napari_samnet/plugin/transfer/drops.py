"""What is dropped, and the buttons that mend what was refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_error, show_info

from napari_samnet.errors import InputError
from napari_samnet.io.npz import is_archive
from napari_samnet.plugin.layers.channels_first import put_channels_first
from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.layers.pointfiles import is_table
from napari_samnet.plugin.layers.series_memory import ROLE
from napari_samnet.plugin.model.capture import kind_of
from napari_samnet.plugin.model.channels import PLANES
from napari_samnet.plugin.model.conversion import (
    labels_of_image,
    resampled_labels,
)
from napari_samnet.plugin.model.remedies import (
    BESIDE,
    CHANNELS,
    CONVERT,
    PLANE,
    RefusalError,
    Remedy,
    remedies_of,
)
from napari_samnet.plugin.run.tasks import Task, TaskQueue
from napari_samnet.plugin.run.worker import Failure
from napari_samnet.plugin.transfer.actions import Actions
from napari_samnet.plugin.transfer.mask_reading import (
    MaskFile,
    MasksRead,
    reading_steps,
)
from napari_samnet.plugin.transfer.sentences import sentence
from napari_samnet.plugin.transfer.series_reopened import opened_again


class Drops(Actions):
    """The drop zone, and remedies of what it or the fields refuse."""

    #: What the zone says, and the folders that names in it go without.
    _refused: Sequence[InputError] = ()
    _folders: Collection[str] = ()
    #: Reads files, also while something else runs.
    _reading: TaskQueue

    @property
    def running(self) -> bool:
        """Whether a task runs, or a file is read."""
        return super().running or self._reading.busy

    def cancel(self) -> None:
        """Stop after the current step and keep what is done."""
        self._reading.cancel()
        super().cancel()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until nothing runs; see :meth:`run` for what it raises."""
        self._reading.wait(timeout)
        super().wait(timeout)

    def use_as_labels(self, layer: Layer | str) -> Labels:
        """Make labels of the source out of a layer that is none.

        Parameters
        ----------
        layer : napari layer or str
            An image that holds ids or painted colors, or labels of another
            resolution that show all of the source. It stays as it is.

        Returns
        -------
        napari.layers.Labels
            A new layer, which is chosen as the source's labels.

        Raises
        ------
        InputError
            If it holds no labels, or there is no source.
        """
        chosen = self._layer(layer)
        source, _ = self._inputs.stacks()
        if isinstance(chosen, Image):
            made, notices = labels_of_image(chosen)
            for notice in notices:
                show_info(notice)
        elif isinstance(chosen, Labels):
            shown = self._inputs.shown_of(chosen)
            made = resampled_labels(chosen, source.grid, shown)
        else:
            raise InputError(
                f'{chosen.name!r} is neither an image nor a layer of labels'
            )
        self._results.add_beside(made, source.uid)
        self.set_labels(made)
        return made

    def put_channels_first(self, layer: Layer | str) -> None:
        """Turn the axes of an image so that its channels come first.

        Labels, which have no channels, then lie on its planes. No pixel
        changes, nor where it is in the world.

        Parameters
        ----------
        layer : napari layer or str
            An image of which an axis was declared to hold channels.

        Raises
        ------
        InputError
            If it has no such axis.
        """
        chosen = self._layer(layer)
        known = isinstance(chosen, Image)
        axis = self._inputs.channels.chosen(chosen) if known else PLANES
        if not isinstance(axis, int):
            raise InputError(
                f'{chosen.name!r} has no axis of channels: choose it below '
                f'the image'
            )
        put_channels_first(chosen, axis)
        self._inputs.channels.choose(chosen, 0)
        self.refresh()

    def open_match(self, path: str | Path) -> None:
        """Take a saved match for that of the planes shown."""
        raise NotImplementedError

    def _connect_drops(self) -> None:
        panel = self.panel
        self._reading = TaskQueue(self)
        self._reading.failed.connect(self._on_unread)
        panel.drop.layers_dropped.connect(self._on_layers_dropped)
        panel.drop.files_dropped.connect(self._on_files_dropped)
        panel.drop.refused.connect(self._on_rows_refused)
        panel.drop.cleared.connect(self._on_read)
        panel.drop_remedy.asked.connect(self._on_drop_remedies)
        panel.footer.remedy.asked.connect(self._on_remedies)

    def _on_layers_dropped(self, layers: Sequence[Any]) -> None:
        self._take_lone_stack()
        # All rows may be selected: the two images are never meant.
        pair = self.source, self.target
        self._carry([x for x in layers if x not in pair], [])

    def _on_files_dropped(self, paths: Sequence[str]) -> None:
        matches = [path for path in paths if is_match(path)]
        if matches:
            self._status.attempt(partial(self.open_match, matches[-1]))
        paths = [path for path in paths if path not in matches]
        if not paths:
            return
        self._take_lone_stack()
        # Whoever dropped them knows where they are, and names are short.
        folders = {str(Path(path).parent) + os.sep for path in paths}
        self._carry_made(
            [
                partial(
                    self._open_points if is_table(path) else self._mask_file,
                    path,
                )
                for path in paths
            ],
            folders,
        )

    def _take_lone_stack(self) -> None:
        """Carry through the planes of a stack, where there is nothing else."""
        if self.target is None and self._inputs.has_planes:
            self.set_planes('propagate', axis=self._inputs.axis)

    @staticmethod
    def _on_unread(task: Task, failure: Failure) -> None:  # noqa: ARG004
        show_error(sentence(failure.message))

    def _on_read(self) -> None:
        """Forget what was refused, as its reason is gone."""
        self._refused = self._folders = ()

    def _on_rows_refused(self, layers: Sequence[Any]) -> None:
        """Offer to convert images; the two that are matched are none."""
        self.panel.drop_remedy.offer(
            [
                Remedy(CONVERT, layer)
                for layer in layers
                if isinstance(layer, Image)
                and layer not in (self.source, self.target)
            ]
        )

    def _on_drop_remedies(self, remedies: Sequence[Remedy]) -> None:
        # What this button does not mend is still to be read and mended.
        left = [
            error
            for error in self._refused
            if not (
                isinstance(error, RefusalError) and error.remedy in remedies
            )
        ]
        self._carry_made(
            [partial(self._mended, each) for each in remedies], left=left
        )

    def _on_remedies(self, remedies: Sequence[Remedy]) -> None:
        try:
            for remedy in remedies:
                if remedy.kind == BESIDE:
                    self.lay_side_by_side()
                    return
                if remedy.kind == CHANNELS:
                    self.put_channels_first(remedy.subject)
                    return
                if remedy.subject is None:
                    self.set_planes('current')
                    continue
                made = self._mended(remedy)
                if isinstance(made, MaskFile):
                    self._add_mask(made, made.read())
        except InputError as error:
            self._status.refuse(error)
        else:
            self._status.say('')

    def _mended(self, remedy: Remedy) -> Any:
        """Labels, or a file of them, in the place of what was refused."""
        if not isinstance(remedy.subject, str):
            return self.use_as_labels(remedy.subject)
        if remedy.kind == PLANE:
            shown = self._inputs.index_of(self._inputs.stacks()[0].grid)
            return self._mask_file(remedy.subject, page=(*shown, 0)[0])
        return self._mask_file(remedy.subject, resample=True)

    def _carry_made(
        self,
        makes: Sequence[Callable[[], Any]],
        folders: Collection[str] = (),
        left: Sequence[InputError] = (),
    ) -> None:
        """Carry layers to be made; one that cannot be stops no other.

        ``left``: what was refused before and still is.
        """
        made: list[Any] = []
        refused = [*left]
        for make in makes:
            try:
                made.append(make())
            except InputError as error:
                refused.append(error)
        files = [each for each in made if isinstance(each, MaskFile)]
        if not files:
            self._choose_and_carry(made, refused, folders)
            return
        names = ', '.join(Path(file.path).name for file in files)
        self._reading.add(
            Task(
                f'Reading {names}',
                reading_steps(files),
                partial(self._carry_read, made, refused, folders),
            )
        )

    def _carry_read(
        self,
        made: Sequence[Any],
        refused: list[InputError],
        folders: Collection[str],
        outcome: MasksRead,
    ) -> Iterator[Any]:
        """Add labels that were read, and carry them with others.

        ``made``: layers and files, in the order in which they were dropped.
        Yields: after each layer, so that the window can breathe.
        """
        masks = iter(outcome.masks)
        layers = []
        for each in made:
            if not isinstance(each, MaskFile):
                layers.append(each)
                continue
            read = next(masks, None)
            if isinstance(read, InputError):
                refused.append(read)
            elif read is not None:
                layer = self._add_mask(each, read)
                if layer not in layers:
                    layers.append(layer)
                yield layer
        self._choose_and_carry(layers, refused, folders)

    def _choose_and_carry(
        self,
        layers: Sequence[Any],
        refused: list[InputError],
        folders: Collection[str],
    ) -> None:
        """Carry layers that were made; the last labels are chosen."""
        layers, results = self._without_results(layers)
        labels = [layer for layer in layers if isinstance(layer, Labels)]
        if labels:
            self.panel.labels.choose(labels[-1])
        self._carry(layers, refused, folders)
        if results and not layers:
            self.viewer.layers.selection.active = results[-1]
            self._status.say(opened_again(results[-1]))

    def _without_results(
        self, layers: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """Layers to carry, and propagated results, which are gone on from."""
        results = []
        if self._inputs.mode == 'propagate':
            results = [x for x in layers if about_layer(x).get('role') == ROLE]
        return [x for x in layers if x not in results], results

    def _carry(
        self,
        layers: Sequence[Any],
        refused: list[InputError],
        folders: Collection[str] = (),
    ) -> None:
        """Carry layers, and say in the zone which cannot be.

        ``folders``: folders of dropped files, which their names go without.
        """
        if layers:
            # Points and shapes have their own layers.
            apart = {'points', 'shapes'} & {kind_of(x) for x in layers}
            into = None if apart else self.panel.into.layer
            missed: list[InputError] = []
            try:
                self._transfer(layers, into, missed)
            except InputError as error:
                if error not in missed:
                    missed.append(error)
            else:
                for one in missed:
                    self._status.note(str(one))
            refused = [*refused, *missed]
        folders = {*folders, *self._folders}
        lines = dict.fromkeys(
            sentence(_without(folders, str(error))) for error in refused
        )
        self.panel.drop.refuse('\n'.join(lines))
        if refused:
            self._refused, self._folders = refused, folders
        self.panel.drop_remedy.offer(remedies_of(refused))


def is_match(path: str) -> bool:
    """Whether a file is a saved match, which is opened instead of carried."""
    return path.lower().endswith('.npz') and is_archive(
        path, ('forward', 'backward')
    )


def _without(folders: Collection[str], text: str) -> str:
    """Name files without the folders that they are in."""
    for folder in sorted(folders, key=len, reverse=True):
        text = text.replace(folder, '')
    return text
