"""The interface of the dock for scripts.

Everything a user can do with the mouse has a method here, with typed
arguments, and says what is wrong as an exception instead of a line.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from napari.layers import Labels, Layer
from napari.utils.notifications import show_info

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.options import MatchOptions
from napari_samnet.outputs.verdict import Verdict
from napari_samnet.plugin.layers.arrange import SideBySide
from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.layers.into import check_into
from napari_samnet.plugin.layers.maskfiles import read_mask
from napari_samnet.plugin.layers.results import Results
from napari_samnet.plugin.model.capture import is_loaded
from napari_samnet.plugin.model.masks import LabelsMask
from napari_samnet.plugin.model.request import MODES, Request
from napari_samnet.plugin.run.series import Course
from napari_samnet.plugin.transfer.docks import Dock
from napari_samnet.plugin.transfer.going_on import (
    find_propagated,
    lock_planes,
    plan_course,
)
from napari_samnet.plugin.transfer.inputs import Inputs
from napari_samnet.plugin.transfer.judging import Judging
from napari_samnet.plugin.transfer.panel import Panel
from napari_samnet.plugin.transfer.status import Status
from napari_samnet.plugin.transfer.worst import WorstPlaces
from napari_samnet.plugin.widgets.choosers import LayerChooser, unwrapped
from napari_samnet.series.schedule import Direction

__all__ = ['Scripting']


class Scripting(Dock):
    """Methods of the dock for scripts; see ``SemanticTransfer``."""

    panel: Panel
    _inputs: Inputs
    _results: Results
    _judging: Judging
    _side_by_side: SideBySide
    _status: Status
    _worst: WorstPlaces
    _last: Correspondence | None
    _labels_set: bool
    _pair_set: bool

    # Reading and setting what the panel shows.

    @property
    def source(self) -> Layer | None:
        """The annotated image."""
        return self.panel.source.layer

    @property
    def target(self) -> Layer | None:
        """The image that shows something alike."""
        return self.panel.target.layer

    @property
    def labels(self) -> Layer | None:
        """Labels of the source."""
        return self.panel.labels.layer

    @property
    def options(self) -> MatchOptions:
        """How images are matched.

        Raises
        ------
        InputError
            If the fields do not fit together.
        """
        return self.panel.options.options()

    @property
    def correspondence(self) -> Correspondence | None:
        """What the last run found, the last plane of a stack."""
        return self._last

    def set_source(
        self,
        layer: Layer | str,
        *,
        channel_axis: int | str | None = None,
    ) -> None:
        """Choose the annotated image.

        Parameters
        ----------
        layer : napari layer or str
            An image, or its name. If it was the target, the two are swapped.
        channel_axis : int or str, optional
            Leading axis that holds channels; 'planes' for none; 'together'
            if the layers that napari made of one image with `channel_axis`
            are the channels, this layer among them. By default what was
            declared before, or what the labels of the axes say.

        Raises
        ------
        InputError
            If there is no such image, or it cannot have these channels.
        """
        self._pair_set = True
        self._choose(self.panel.source, layer, 'an image')
        if channel_axis is not None:
            self._inputs.channels.choose(self.source, channel_axis)
            self.refresh()

    def set_target(
        self,
        layer: Layer | str,
        *,
        channel_axis: int | str | None = None,
    ) -> None:
        """Choose the image that shows something alike.

        Parameters
        ----------
        layer : napari layer or str
            An image, or its name. If it was the source, the two are swapped.
        channel_axis : int or str, optional
            Leading axis that holds channels; 'planes' for none; 'together'
            if the layers that napari made of one image with `channel_axis`
            are the channels, this layer among them. By default what was
            declared before, or what the labels of the axes say.

        Raises
        ------
        InputError
            If there is no such image, or it cannot have these channels.
        """
        self._pair_set = True
        self._choose(self.panel.target, layer, 'an image')
        if channel_axis is not None:
            self._inputs.channels.choose(self.target, channel_axis)
            self.refresh()

    def set_labels(self, layer: Layer | str | None) -> None:
        """Choose the source's labels, by layer or name, or none.

        Raises
        ------
        InputError
            If there is no such layer of labels.
        """
        self._labels_set = True
        self._choose(self.panel.labels, layer, 'a layer of labels')

    def set_ids(self, ids: Sequence[int] | str | None = None) -> None:
        """Choose which labels are carried.

        Parameters
        ----------
        ids : sequence of int, 'selected' or None
            A list, the selected label of each layer, or all. What an earlier
            run found for other ids stays.

        Raises
        ------
        InputError
            If it is none of these.
        """
        self.panel.ids.choose(ids)
        self.refresh()

    def set_options(self, **options: Any) -> None:
        """Set some parameters of the match.

        Parameters
        ----------
        **options
            Values by the names of :class:`~napari_samnet.MatchOptions`.

        Raises
        ------
        InputError
            If one is not known or not possible; nothing is set then.
        """
        values = self.panel.options.values | options
        unknown = set(values) - set(self.panel.options)
        if unknown:
            raise InputError(
                f'there is no option {", ".join(sorted(unknown))}'
            )
        MatchOptions(**values)
        self.panel.options.show(options)

    def set_outputs(self, *names: str) -> None:
        """Choose the layers that a run adds.

        Parameters
        ----------
        *names : str
            Any of 'flow', 'labels', 'transferred', 'confidence' and
            'warped'.

        Raises
        ------
        InputError
            If one is not known.
        """
        try:
            self.panel.outputs.set(names)
        except KeyError as error:
            raise InputError(f'there is no output {error.args[0]}') from None

    def set_planes(self, mode: str, *, axis: int = 0) -> None:
        """Choose what is matched where the images are stacks.

        Parameters
        ----------
        mode : {'current', 'pairwise', 'propagate'}
            The planes shown, all planes one by one, or labels through the
            source itself.
        axis : int
            Leading axis to propagate along.

        Raises
        ------
        InputError
            If there is no such mode or axis.
        """
        if mode not in MODES:
            raise InputError(
                f'planes must be one of {", ".join(MODES)}, got {mode!r}'
            )
        if axis and not 0 <= axis < self.panel.axis.count():
            raise InputError(f'there is no leading axis {axis}')
        self.panel.mode.setCurrentIndex(list(MODES).index(mode))
        self.panel.axis.setCurrentIndex(axis)
        self.refresh()

    def set_min_confidence(self, value: float) -> None:
        """Hide warped labels below a confidence from 0 to 1."""
        self._judging.set_min_confidence(value)

    def reset_defaults(self) -> None:
        """Set every field that is no layer to its default."""
        self.panel.reset_fields()
        self.refresh()

    # Running.

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
        request = self._inputs.request()
        self._check_into(into, request)
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
            The same as in :meth:`run`.

        Returns
        -------
        Correspondence or None
            As in :meth:`run`. Nothing is matched if this pair was before.

        Raises
        ------
        InputError
            If something is missing, or none of the layers fits. If some do,
            they are carried, and the message names the others.
        RuntimeError, TimeoutError
            As in :meth:`run`.
        """
        masks = [self._layer(layer) for layer in layers]
        if not masks:
            raise InputError('there is no annotation to transfer')
        self._catch_up()
        destination = None if into is None else self._layer(into)
        if destination is not None and not isinstance(destination, Labels):
            raise InputError(f'{destination.name!r} is no layer of labels')
        refused: list[str] = []
        request = self._inputs.request(masks, outputs=(), refused=refused)
        self._check_into(destination, request)
        for reason in refused:
            self._status.note(reason)
        self._start(request, destination)
        return self._waited(wait, timeout)

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
        """Carry a mask file of the source to the target.

        Parameters
        ----------
        path : str
            Image file of labels.
        **keywords
            The same as in :meth:`transfer`.

        Raises
        ------
        InputError
            If it is no mask, or not one of this source.
        """
        layer = self._open_mask(path)
        self.panel.labels.choose(layer)
        self.transfer(layer, **keywords)

    def _open_mask(self, path: str) -> Labels:
        """Add a mask file as labels on the source."""
        source, _ = self._inputs.stacks()
        read = read_mask(path, source.grid)
        data, grid = read.labels, source.grid
        for notice in read.notices:
            show_info(notice)
        if data.shape != grid.shape:
            grid = grid.plane()
        style: dict[str, Any] = {}
        if read.colors:
            style['colormap'] = {
                None: 'transparent',
                0: 'transparent',
                **{
                    number: (*(value / 255 for value in color), 1.0)
                    for number, color in read.colors.items()
                    if number
                },
            }
        layer = Labels(data, name=Path(path).stem, **style, **grid.spatial)
        self._results.add_beside(layer, source.uid)
        return layer

    def wait(self, timeout: float | None = None) -> None:
        """Wait until nothing runs; see :meth:`run` for what it raises."""
        self._tasks.wait(timeout)

    def preview(
        self, mode: str = 'blend', amount: float = 0.5, *, wait: bool = False
    ) -> None:
        """Lay the warped target over the source.

        Parameters
        ----------
        mode : {'blend', 'checkerboard', 'off'}
            How it is done.
        amount : float
            From 0 to 1: share of the target, or fineness of the tiles.
        wait : bool
            Whether to return only when it is shown.

        Raises
        ------
        InputError
            If there is no such mode, or nothing was matched yet.
        """
        self._judging.preview(mode, amount)
        if wait:
            self.wait()

    def go_on(
        self,
        plane: int | None = None,
        *,
        direction: Direction = 'both',
        ids: Collection[int] | None = None,
        layer: Layer | str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Propagate again from a plane of a result that was corrected.

        Planes that were annotated, corrected since, or locked stay as they
        are and lead the others; what changes is one step of undo.

        Parameters
        ----------
        plane : int, optional
            Plane to go on from, by its place on the axis; the one that is
            shown by default. It counts as annotated from now on.
        direction : {'both', 'forwards', 'backwards'}
            Which planes are done again, seen from there.
        ids : collection of int, optional
            The only labels to carry again. By default all are.
        layer : napari layer or str, optional
            The propagated result; by default the active or uppermost one.
        wait, timeout
            The same as in :meth:`run`.

        Raises
        ------
        InputError
            If there is no such result, or nothing on that plane.
        RuntimeError, TimeoutError
            As in :meth:`run`.
        """
        result = self._propagated(layer)
        axis = int(about_layer(result).get('axis', 0))
        self.set_planes('propagate', axis=axis)
        request = self._inputs.request([result], outputs=())
        at = list(request.pairs[0].source)
        if plane is not None:
            if not 0 <= plane < request.source.grid.leading[axis]:
                raise InputError(f'there is no plane {plane}')
            at[axis] = plane
        course = plan_course(result, tuple(at), direction=direction, ids=ids)
        self._start(request, course=course, onto=result)
        self._waited(wait, timeout)

    def lock_planes(
        self,
        *planes: int,
        locked: bool = True,
        layer: Layer | str | None = None,
    ) -> None:
        """Protect planes of a propagated result from :meth:`go_on`.

        Parameters
        ----------
        *planes : int
            Their places on the axis of the propagation.
        locked : bool
            False frees them again.
        layer : napari layer or str, optional
            The same as in :meth:`go_on`.

        Raises
        ------
        InputError
            If there is no such result.
        """
        lock_planes(self._propagated(layer), planes, locked=locked)

    def _propagated(self, layer: Layer | str | None) -> Any:
        if layer is not None:
            return self._layer(layer)
        if self.source is None:
            raise InputError('choose the stack as the source')
        return find_propagated(self.viewer, self.source)

    @property
    def verdict(self) -> Verdict | None:
        """Whether the results of the last run can be used."""
        return self._worst.verdict

    def show_worst(self) -> str:
        """Move the view to the next place that the verdict names.

        Returns
        -------
        str
            One line that names the place; empty if there is none.
        """
        text = self._worst.show_next()
        if text:
            self._status.say(text)
        return text

    def ask(self, position: Sequence[float]) -> tuple[str, Any] | None:
        """Mark where a point of one image lies in the other.

        Parameters
        ----------
        position : sequence of float
            World coordinates, as of a click.

        Returns
        -------
        tuple of str and ndarray, or None
            Which image the answer is in, 'source' or 'target', and row and
            column there; None if there is none.
        """
        return self._judging.asking.answer(position)

    # What the dock itself must know how to do.

    def refresh(self, *_: Any) -> None:
        """Bring the panel up to date with viewer and fields."""
        raise NotImplementedError

    @staticmethod
    def _check_into(layer: Any, request: Request) -> None:
        """Refuse labels to write into before the run, if that cannot be."""
        tops = [
            int(mask.data.max(initial=0))
            for mask in request.masks
            if isinstance(mask, LabelsMask) and is_loaded(mask.data)
        ]
        if layer is not None and 'labels' in {m.kind for m in request.masks}:
            check_into(layer, request.target.grid, max(tops, default=0))

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

    def _layer(self, layer: Layer | str) -> Any:
        if isinstance(layer, str):
            if layer not in self.viewer.layers:
                raise InputError(f'there is no layer {layer!r}')
            layer = self.viewer.layers[layer]
        layer = unwrapped(layer)
        if layer not in self.viewer.layers:
            raise InputError(f'{layer.name!r} is not in the viewer')
        return layer

    def _choose(
        self, chooser: LayerChooser, layer: Layer | str | None, what: str
    ) -> None:
        chosen = None if layer is None else self._layer(layer)
        try:
            chooser.choose(chosen)
        except ValueError:
            name = getattr(chosen, 'name', None)
            raise InputError(f'{name!r} is not {what}') from None

    def _waited(
        self, wait: bool, timeout: float | None
    ) -> Correspondence | None:
        if not wait:
            return None
        self.wait(timeout)
        return self._last
