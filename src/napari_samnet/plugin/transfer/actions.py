"""What the buttons of the dock do, from a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Labels, Layer, Points
from napari.utils.notifications import show_info

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.io.picture import LabelPicture
from napari_samnet.plugin.layers.arrange import SideBySide
from napari_samnet.plugin.layers.into import check_into, id_range
from napari_samnet.plugin.layers.pointfiles import (
    is_table,
    read_points_layer,
    same_points,
)
from napari_samnet.plugin.layers.results import Results
from napari_samnet.plugin.layers.series_memory import as_known, read_record
from napari_samnet.plugin.model.capture import is_loaded
from napari_samnet.plugin.model.masks import LabelsMask
from napari_samnet.plugin.model.request import Request
from napari_samnet.plugin.run.series import Course
from napari_samnet.plugin.transfer.choices import Choices
from napari_samnet.plugin.transfer.mask_reading import MaskFile
from napari_samnet.plugin.transfer.masks_opened import MasksOpened
from napari_samnet.plugin.transfer.showing import Showing
from napari_samnet.plugin.transfer.status import Status


class Actions(Choices):
    """Runs, drops, and what arranges their results."""

    _results: Results
    _masks_opened: MasksOpened
    _side_by_side: SideBySide
    _status: Status
    _showing: Showing

    def run(
        self, *, wait: bool = False, timeout: float | None = None
    ) -> Correspondence | None:
        """Match the images and add the results.

        Parameters
        ----------
        wait : bool
            Whether to return only when it is done. The window stays alive.
        timeout : float, optional
            Seconds to wait at most.

        Returns
        -------
        Correspondence or None
            What was found, if it was waited for; the last plane of a stack.

        Raises
        ------
        InputError
            If something is missing or does not fit.
        RuntimeError
            If it was waited for and went wrong.
        TimeoutError
            If it takes longer than `timeout`. The run goes on.
        """
        reason = self.reason
        if reason:
            raise InputError(reason)
        into = self.panel.into.layer
        refused: list[InputError] = []
        request = self._inputs.request(refused=refused)
        self._check_into(into, request)
        for error in refused:
            self._status.note(str(error))
        self._labels_kept.keep(
            self.source, self.labels, by_user=self._labels_set
        )
        self._start(request, into)
        return self._waited(wait, timeout)

    def transfer(
        self,
        *layers: Layer | str,
        into: Layer | str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> Correspondence | None:
        """Carry annotations of the source to the target.

        Parameters
        ----------
        *layers : napari layer or str
            Labels, Points or Shapes.
        into : napari layer or str, optional
            Labels on the target to write into, which can be undone. By
            default new layers are added.
        wait, timeout
            The same as in :meth:`run`, with what it raises.

        Returns
        -------
        Correspondence or None
            As in :meth:`run`. Nothing is matched if this pair was before.

        Raises
        ------
        InputError
            If something is missing, or none of the layers fits. If some do,
            they are carried, and the message names the others.
        """
        masks = [self._layer(layer) for layer in layers]
        if not masks:
            raise InputError('there is no annotation to transfer')
        destination = None if into is None else self._layer(into)
        if destination is not None and not isinstance(destination, Labels):
            raise InputError(f'{destination.name!r} is no layer of labels')
        refused: list[InputError] = []
        self._transfer(masks, destination, refused)
        for error in refused:
            self._status.note(str(error))
        return self._waited(wait, timeout)

    def _transfer(
        self, masks: Sequence[Any], into: Any, refused: list[InputError]
    ) -> None:
        """Start to carry annotations, and list those that cannot be."""
        self._catch_up()
        request = self._inputs.request(masks, outputs=(), refused=refused)
        request = replace(request, any_match=True)
        self._check_into(into, request)
        self._start(request, into)

    def restore(self, layer: Layer | str | None = None) -> None:
        """Put points or shapes back as they were before the last run.

        napari has no undo for them. A second call goes forward again.

        Parameters
        ----------
        layer : napari layer or str, optional
            Result to restore; by default the selected one, else the one that
            was changed last.

        Raises
        ------
        InputError
            If no run has changed it.
        """
        known = self._results.restorable
        if layer is not None:
            chosen = self._layer(layer)
        else:
            active = self.viewer.layers.selection.active
            chosen = active if active in known else (known or [None])[-1]
        if chosen not in known:
            raise InputError(
                'no run has changed points or shapes here, so there is '
                'nothing to restore; labels have Ctrl+Z'
            )
        self._results.restore(chosen)
        self._status.say(f'Exchanged {chosen.name!r} with its earlier state')

    def lay_side_by_side(self) -> None:
        """Move the target beside the source, with all results on it.

        Raises
        ------
        InputError
            If there are no two images, or the target was moved already.
        """
        if self.source is None or self.target is None:
            raise InputError('open two images to lay them side by side')
        if self._side_by_side.is_beside(self.target):
            raise InputError('the target lies beside the source already')
        self._side_by_side.lay(self.source, self.target)
        self._status.suggest(None)
        self.refresh()

    def lay_back(self) -> None:
        """Move the target, and what lies on it, back to where it was.

        Raises
        ------
        InputError
            If :meth:`lay_side_by_side` has not moved it.
        """
        if not self._side_by_side.is_beside(self.target):
            raise InputError('the target was not laid beside the source')
        self._side_by_side.lay_back(self.target)
        self.refresh()

    def transfer_file(self, path: str, **keywords: Any) -> None:
        """Carry a file of labels or points of the source to the target.

        Parameters
        ----------
        path : str
            Image file of labels, or a table of points (``.csv``).
        **keywords
            The same as in :meth:`transfer`.

        Raises
        ------
        InputError
            If it holds neither, or not those of this source.
        """
        layer = self._open_file(path)
        if isinstance(layer, Labels):
            self.panel.labels.choose(layer)
        self.transfer(layer, **keywords)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until nothing runs; see :meth:`run` for what it raises."""
        self._tasks.wait(timeout)

    def _open_file(self, path: str) -> Labels | Points:
        """Add a file as labels or points on the source."""
        if is_table(path):
            return self._open_points(path)
        file = self._mask_file(path)
        return self._add_mask(file, file.read())

    def _open_points(self, path: str) -> Points:
        """Add a table as points on the source, unless they are there."""
        source, _ = self._inputs.stacks()
        layer, notices = read_points_layer(
            path,
            source.grid,
            source.name,
            self._inputs.index_of(source.grid),
        )
        there = same_points(layer, source.grid, self.viewer.layers)
        if there is not None:
            return there
        for notice in notices:
            show_info(notice)
        self._results.add_beside(layer, source.uid)
        return layer

    def _mask_file(self, path: str, **how: Any) -> MaskFile:
        """A mask file of the source, not yet read."""
        source, _ = self._inputs.stacks()
        layer = self.source
        opened = None if layer is None else layer.source.path
        how.setdefault('image', Path(str(opened or source.name)).name)
        return MaskFile(path, source.grid, source.uid, how)

    def _add_mask(self, file: MaskFile, read: LabelPicture) -> Labels:
        """Add what was read of a file, and say what is to be said of it.

        Returns: the layer that holds it already, if there is one.
        """
        same, other = self._masks_opened.of(file, read, self.viewer.layers)
        if same is not None:
            return same
        for notice in read.notices:
            show_info(notice)
        layer = file.layer_of(read)
        record = read_record(file.path)
        if record is not None and record['shape'] == list(layer.data.shape):
            as_known(layer, record, file.owner)
        if other is not None:
            layer.name = f'{layer.name}, read again'
        self._results.add_beside(layer, file.owner)
        self._masks_opened.note(file, layer)
        if other is not None:
            name = Path(file.path).name
            show_info(
                f'{other.name!r} was edited, or {name} changed since: both '
                f'are there, the file as {layer.name!r}'
            )
        return layer

    @staticmethod
    def _check_into(layer: Any, request: Request) -> None:
        """Refuse labels to write into before the run, if that cannot be."""
        masks = [x for x in request.masks if isinstance(x, LabelsMask)]
        if layer is None or not masks:
            return
        ranges = [
            id_range(mask.data[()]) for mask in masks if is_loaded(mask.data)
        ]
        lowest = min((low for low, _ in ranges), default=0)
        highest = max((high for _, high in ranges), default=0)
        check_into(layer, request.target.grid, (lowest, highest))

    def _start(
        self,
        request: Request,
        into: Any = None,
        *,
        course: Course | None = None,
        onto: Any = None,
    ) -> None:
        raise NotImplementedError

    def _catch_up(self) -> None:
        raise NotImplementedError

    def _waited(
        self, wait: bool, timeout: float | None
    ) -> Correspondence | None:
        if not wait:
            return None
        self.wait(timeout)
        return self._showing.last
