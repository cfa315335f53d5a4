"""The match as a whole: opened, saved, inverted, applied to further things."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QFileDialog

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.ask import Asked
from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.layers.pointfiles import is_table
from napari_samnet.plugin.model.capture import Stack, kind_of, stack_of
from napari_samnet.plugin.model.grids import Grid, Index, grid_of, sizes
from napari_samnet.plugin.model.masks import INHERITED
from napari_samnet.plugin.model.request import Outcome, Product, Report
from napari_samnet.plugin.run.cache import CorrespondenceCache
from napari_samnet.plugin.run.job import run_steps
from napari_samnet.plugin.run.tasks import Task
from napari_samnet.plugin.transfer.control import Control, DockParts
from napari_samnet.plugin.transfer.showing import Showing

#: What the metadata of a match say that was not found by a run of today.
TAKEN = 'taken'

#: What files a match is written to, for the dialog.
FILES = (
    'Correspondence (*.npz);;Flow of Middlebury (*.flo);;'
    'Displacement field of ITK (*.mha *.nrrd *.nii.gz);;'
    'Transform of ITK (*.h5 *.tfm);;Numpy (*.npy)'
)


class SavedMatch(Control):
    """Opens, saves, inverts and applies matches.

    ``current``: gives the match of the planes shown, or None.
    ``carry``: carries a layer of annotations by it.
    ``open_file``: adds a file of labels or points on the source.
    """

    def __init__(
        self,
        dock: DockParts,
        cache: CorrespondenceCache,
        showing: Showing,
        *,
        current: Callable[[], Asked | None],
        carry: Callable[[Any], None],
        open_file: Callable[[str], Any],
    ) -> None:
        super().__init__(dock)
        self._cache = cache
        self._showing = showing
        self._current = current
        self._carry = carry
        self._open_file = open_file
        #: A match that was opened without its images, and its name.
        self._alone: tuple[Correspondence, str] | None = None
        attempt = self._status.attempt
        dock.panel.match_file.connect_to(
            [
                (
                    'Open…',
                    'Take a saved match for that of these images; without '
                    'them, to apply it.',
                    self._on_open,
                ),
                (
                    'Save or export…',
                    'Write everything (.npz), or the field for other '
                    'programs.',
                    self._on_save,
                ),
                (
                    'Invert',
                    'Exchange source and target; nothing is matched anew.',
                    lambda: attempt(self.invert),
                ),
                (
                    'Apply to a file…',
                    'Carry an image or labels of the grid of the source.',
                    self._on_apply,
                ),
            ],
            self.layers,
            lambda layer: attempt(partial(self.apply_to, layer)),
            lambda: self._alone is not None or current() is not None,
        )

    def is_taken(self, match: Correspondence) -> bool:
        """Whether a match was opened or inverted, not found by a run."""
        return TAKEN in match.metadata

    def open(self, path: str | Path) -> None:
        """Take a saved match for that of the planes shown."""
        match, name = Correspondence.load(path), Path(path).name
        if (
            self._panel.source.layer is None
            or self._panel.target.layer is None
        ):
            self._alone = match, Path(path).stem
            # The line of the dock says what a run still needs.
            show_info(
                f'Opened {name}, without its images: apply it to layers or '
                f'files of {sizes(match.source_shape)} pixels'
            )
            return
        shapes = self._shapes()
        if (match.source_shape, match.target_shape) != shapes:
            given = (
                f'{sizes(match.source_shape)} → {sizes(match.target_shape)}'
            )
            match = match.inverse()
            if (match.source_shape, match.target_shape) != shapes:
                raise InputError(
                    f'{name} is of images of {given} pixels, these have '
                    f'{sizes(shapes[0])} and {sizes(shapes[1])}: choose the '
                    'images that were matched'
                )
            self._status.note(f'{name} leads the other way and was inverted')
        self._alone = None
        self._use(match, f'Opened {name}')

    def _shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        source, target = self._inputs.stacks()
        return source.grid.plane_shape, target.grid.plane_shape

    def save(self, path: str | Path) -> str:
        """Write the match, or its field as the ending says."""
        from napari_samnet.outputs.export import ENDINGS, export_field

        match = self._match()
        if not Path(path).name.lower().endswith(('.npz', *ENDINGS)):
            raise InputError(
                f'the name must end with .npz for everything, or with one of '
                f'{", ".join(ENDINGS)} for the field, got {Path(path).name}'
            )
        if Path(path).suffix.lower() == '.npz':
            match.save(path)
            return f'Saved {Path(path).name}'
        return f'Wrote {Path(path).name}: {export_field(match, path)}'

    def invert(self) -> None:
        """Exchange source and target, and take the match the other way."""
        if self._alone is not None and self._current() is None:
            match, name = self._alone
            self._alone = match.inverse(), name
            show_info(f'Inverted {name}')
            return
        match = self._match()
        self._check_mode()
        # What belongs to an image follows it, as after a click.
        self._panel.swap.click()
        self._use(match.inverse(), 'Inverted the match')

    def layers(self) -> list[Any]:
        """Layers that the match can be applied to."""
        shape = self._match().source_shape
        shown = self._current()
        pair = () if shown is None else (shown[0].uid, shown[1].uid)
        return [
            layer
            for layer in self._viewer.layers
            if layer.unique_id not in pair
            and not about_layer(layer)
            and self._may_fit(layer, shape)
        ]

    def _may_fit(self, layer: Any, shape: tuple[int, int]) -> bool:
        """Whether a layer has the rows and columns of the source."""
        kind = kind_of(layer)
        if kind == 'image':
            return bool(self._inputs.stack(layer).grid.plane_shape == shape)
        if kind == 'labels':
            return grid_of(layer).plane_shape == shape
        return kind in INHERITED

    def apply_to(self, what: Any) -> None:
        """Carry a layer, or a file, from the source to the target."""
        if isinstance(what, (str, Path)):
            self._apply_to_file(Path(what))
        elif kind_of(what) in INHERITED and self._current() is not None:
            self._carry(what)
        elif kind_of(what) in ('image', 'labels'):
            self._apply_to_array(what)
        else:
            raise InputError(
                f'a {kind_of(what)} layer needs both images: open them and '
                'choose them as source and target'
            )

    # Inner workings.

    def _match(self) -> Correspondence:
        shown = self._current()
        if shown is not None:
            return shown[3]
        if self._alone is not None:
            return self._alone[0]
        raise InputError(
            'there is no match: Run makes one, or open one that was saved'
        )

    def _check_mode(self) -> None:
        if self._inputs.mode != 'current':
            raise InputError('choose Current plane at Planes: it is of one')

    def _use(self, match: Correspondence, text: str) -> None:
        """Show a match of the planes shown, with all that a run adds."""
        self._check_mode()
        refused: list[InputError] = []
        try:
            request = self._inputs.request(refused=refused)
        except InputError as missing:
            # What is chosen cannot be made of it; that it is there is seen.
            refused = [missing]
            request = self._inputs.request((), outputs=('flow',))
        for error in refused:
            self._status.note(str(error))
        about = {**match.metadata, TAKEN: text}
        planes = request.pairs[0].planes
        known = {planes: replace(match, metadata=about)}

        def make(stop: Event) -> Generator[Report, None, Outcome]:
            outcome = yield from run_steps(
                request, self._cache, stop, known=known
            )
            return replace(outcome, text=text)

        done = partial(self._showing.show, request, None)
        self._tasks.add(Task(text, make, done))

    def _apply_to_file(self, file: Path) -> None:
        from napari_samnet.io.formats.registry import format_of
        from napari_samnet.io.image_files import read_picture, read_stored

        known = is_table(str(file)) or bool(format_of(file))
        if not known:
            stored = read_stored(file, 'file', None)
            known = stored.space == 'palette' or stored.pixels.dtype == bool
        if known and self._current() is not None:
            self._carry(self._open_file(str(file)))
            return
        picture = read_picture(file, name='file')
        axis = picture.channel_axis
        pixels = (
            picture.pixels
            if axis is None
            else np.moveaxis(picture.pixels, axis, -1)
        )
        rgb = axis is not None and pixels.shape[-1] in (3, 4)
        if axis is not None and not rgb:
            raise InputError(
                f'{file.name} has {pixels.shape[-1]} channels: open it as a '
                'layer, and apply the match to that'
            )
        self._apply_to_array(Image(pixels, rgb=rgb, name=file.stem))

    def _apply_to_array(self, layer: Any) -> None:
        """Carry the plane of an image or of labels that is shown."""
        match = self._match()
        shown = self._current()
        if kind_of(layer) == 'labels':
            stack = Stack(
                layer.name, layer.unique_id, layer.data, False, grid_of(layer)
            )
        elif layer in self._viewer.layers:
            stack = self._inputs.stack(layer)
        else:
            stack = stack_of(layer)
        if stack.grid.plane_shape != match.source_shape:
            raise InputError(
                f'{layer.name!r} is {sizes(stack.grid.plane_shape)}, the '
                f'source of the match {sizes(match.source_shape)}: it must '
                'lie on the same grid'
            )
        at: Index = self._inputs.index_of(stack.grid)
        owner, name, grid = _place_of(match, shown)
        if shown is None and self._alone is not None:
            name = self._alone[1]
        kind = kind_of(layer)

        def make(stop: Event) -> Generator[Report, None, Outcome]:
            del stop
            yield Report(0, 0, f'carrying {stack.name!r}')
            plane = stack.plane(at)
            data: Any
            there, style = grid, dict[str, Any]()
            if kind == 'labels':
                data = match.warp_labels(plane)
            else:
                carried = match.warp_image(plane, to='target')
                lead = carried.reshape((*grid.leading, *carried.shape))
                data, there, style = stack.as_layer(lead, grid)
            data = data.reshape(
                *there.shape, *data.shape[data.ndim - stack.rgb :]
            )
            product = Product(
                kind=kind,
                key=f'applied {stack.uid} {owner} {at}',
                name=f'{name} ← {stack.name}',
                data=data,
                grid=there,
                keywords=style,
                owner=owner,
                about={'role': 'applied', **match.metadata},
            )
            return Outcome([product], {}, False, f'Added {product.name!r}')

        def done(outcome: Outcome) -> Iterator[Any]:
            yield from self._put(outcome.products)

        self._tasks.add(Task('Applying the match', make, done))

    # Dialogs.

    def _on_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self._panel, 'Open a match', '', 'Correspondence (*.npz)'
        )
        if path:
            self._status.attempt(partial(self.open, path))

    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self._panel, 'Save the match', 'match.npz', FILES
        )
        if path:
            self._status.attempt(lambda: self._status.say(self.save(path)))

    def _on_apply(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self._panel, 'Apply the match to a file'
        )
        if path:
            self._status.attempt(partial(self.apply_to, path))


def _place_of(
    match: Correspondence, shown: Asked | None
) -> tuple[Any, str, Grid]:
    """Identity and name of the target, and the grid of its plane."""
    if shown is None:
        plain = Image(np.zeros((1, 1), np.uint8))
        return None, 'target', grid_of(plain, match.target_shape)
    target, (_, at) = shown[1], shown[2]
    return target.uid, target.name, target.grid.single(at)
