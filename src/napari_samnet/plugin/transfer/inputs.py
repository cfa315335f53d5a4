"""From the panel and the viewer to a request, or the reason why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.capture import Stack, is_loaded, stack_of
from napari_samnet.plugin.model.grids import Grid, Index, grid_of, shape_of
from napari_samnet.plugin.model.masks import Mask, capture_mask
from napari_samnet.plugin.model.request import (
    MODES,
    PlanePair,
    Request,
    plane_pairs,
)
from napari_samnet.plugin.transfer.panel import Panel
from napari_samnet.plugin.widgets.fields import LABELS

__all__ = ['Inputs', 'sentence']

#: Values of labels that are looked through for whether there are any.
MOST_LOOKED_AT = 1 << 26


class Inputs:
    """Reads what the user has chosen.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Tells the current plane.
    panel : Panel
        Tells the rest.
    """

    def __init__(self, viewer: Any, panel: Panel) -> None:
        self._viewer = viewer
        self._panel = panel

    @property
    def mode(self) -> str:
        """Way through the stack; 'current' where there is none."""
        if not self.has_planes:
            return 'current'
        return list(MODES)[self._panel.mode.currentIndex()]

    @property
    def has_planes(self) -> bool:
        """Whether an image has leading axes."""
        layers = (self._panel.source.layer, self._panel.target.layer)
        return any(x is not None and len(shape_of(x)) > 2 for x in layers)

    def index_of(self, grid: Grid) -> Index:
        """Plane of a grid that the viewer shows."""
        return grid.index_at(self._viewer.dims.point)

    def stacks(self) -> tuple[Stack, Stack]:
        """Both images; when propagating, the source twice.

        Raises
        ------
        InputError
            If one is missing.
        """
        source, target = self._panel.source.layer, self._panel.target.layer
        if source is None:
            raise InputError('Open two images to begin')
        if self.mode == 'propagate':
            stack = stack_of(source)
            return stack, stack
        if target is None:
            raise InputError('Open a second image, to match with this one')
        return stack_of(source), stack_of(target)

    def planes(self, source: Stack, target: Stack) -> tuple[Index, Index]:
        """Planes of both images that the viewer shows."""
        return self.index_of(source.grid), self.index_of(target.grid)

    def capture(self, layer: Any) -> Mask:
        """Capture an annotation for the source.

        Raises
        ------
        InputError
            If it does not fit.
        """
        source, _ = self.stacks()
        here = self.index_of(source.grid)
        own = grid_of(layer, (1,) * layer.ndim)

        def to_source(coords: NDArray[Any]) -> NDArray[Any]:
            if not len(coords):
                return np.empty((0, len(source.grid.shape)))
            ones = np.ones((len(coords), 1))
            world = np.hstack([coords, ones]) @ own.to_world().T
            there = source.grid.from_world(world[:, :-1])
            if layer.ndim < len(source.grid.shape):
                # Flat annotations show on every plane; the current is meant.
                there[:, : len(here)] = here
            return there

        return capture_mask(layer, source.grid, to_source)

    def reason(self) -> str:
        """Why nothing can run, in one line; empty if it can."""
        try:
            self.request()
        except InputError as error:
            return sentence(str(error))
        return ''

    def request(
        self,
        masks: Sequence[Any] | None = None,
        outputs: Iterable[str] | None = None,
    ) -> Request:
        """Capture a run.

        Parameters
        ----------
        masks : sequence of napari layer, optional
            Annotations to carry, by default what the labels chooser says.
        outputs : iterable of str, optional
            Layers to add, by default what is checked.

        Returns
        -------
        Request
            Everything the worker needs.

        Raises
        ------
        InputError
            If something is missing or does not fit.
        """
        panel = self._panel
        source, target = self.stacks()
        options = panel.options.options()
        wanted = frozenset(panel.outputs.names if outputs is None else outputs)
        mode = self.mode
        at = self.planes(source, target)
        if mode == 'propagate':
            if not source.grid.leading:
                raise InputError(
                    'the source is a single image, there is nothing to '
                    'propagate through'
                )
            pair = PlanePair(at[0], at[0], at[0], at[0], at[0], at[0])
            pairs, here, there = [pair], source.grid, source.grid
            wanted = frozenset({'labels'})
        else:
            pairs, here, there = plane_pairs(source, target, mode, at)
        if masks is None:
            masks = self._chosen_labels(wanted)
            if not wanted:
                raise InputError('choose what to add to the viewer')
            if mode == 'propagate' and not masks:
                raise InputError('choose the labels to propagate')
            if wanted == {'labels'} and not masks:
                raise InputError('choose the labels to warp')
        captured = [self.capture(layer) for layer in masks]
        if mode == 'propagate':
            self._check_annotated(captured, at[0])
        flat = mode == 'current'
        return Request(
            source=source,
            target=target,
            pairs=pairs,
            source_grid=here,
            target_grid=there,
            # Points carry their plane as a coordinate, images as a place.
            source_space=source.grid if flat else here,
            target_space=target.grid if flat else there,
            options=options,
            masks=captured,
            outputs=wanted - {'labels'},
            arrows=panel.arrows.value(),
            color=panel.color.currentText().lower(),
            live=panel.live.isChecked(),
        )

    def _chosen_labels(self, wanted: frozenset[str]) -> list[Any]:
        layer = self._panel.labels.layer
        return [layer] if layer is not None and 'labels' in wanted else []

    @staticmethod
    def _check_annotated(masks: Sequence[Mask], index: Index) -> None:
        """Refuse to propagate nothing, where looking costs little."""
        for mask in masks:
            data = getattr(mask, 'data', None)
            if data is not None and (
                not is_loaded(data) or data.size > MOST_LOOKED_AT
            ):
                continue
            if not mask.is_empty(mask.plane(index)):
                continue
            if data is None or data.ndim == 2:
                where = ', '.join(map(str, index))
                raise InputError(
                    f'{mask.name!r} has nothing on the current plane, {where}'
                )
            if not any(plane.any() for plane in data):
                raise InputError(f'{mask.name!r} has no labels on any plane')

    @property
    def axis(self) -> int:
        """Leading axis to propagate along."""
        return max(0, self._panel.axis.currentIndex())


def sentence(text: str, labels: Mapping[str, str] = LABELS) -> str:
    """Begin with a capital, and call parameters what the fields say.

    Parameters
    ----------
    text : str
        A message of an error.
    labels : mapping
        Names on the screen.

    Returns
    -------
    str
        The same for people who see the dock.
    """
    first, _, rest = text.partition(' ')
    if first in labels:
        return f'{labels[first]} {rest}'
    return text[:1].upper() + text[1:]
