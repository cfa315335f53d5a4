"""Click to ask: a click in one image shows the point in the other.

Dragging a point to where it belongs makes a landmark of the two, and so does
Shift and a click.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from inspect import signature
from typing import Any, Protocol

import numpy as np

from napari_samnet.correspondence import Correspondence
from napari_samnet.plugin.layers.dots import PairDots
from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.model.capture import Stack
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.landmark_pairs import Spot
from napari_samnet.plugin.model.units import world_units
from napari_samnet.warping.field_pair import Side

#: Pair of images, planes of each, and how they correspond.
Asked = tuple[Stack, Stack, tuple[Index, Index], Correspondence]


class PairKeeper(Protocol):
    """What the tool asks of whoever keeps the pairs of points."""

    def shown(self) -> tuple[Stack, Stack, tuple[Index, Index]] | None:
        """The two images and their planes that are shown."""

    def match(self) -> Correspondence | None:
        """How they correspond, if they were matched."""

    def asked(self, side: str, start: Spot, end: Spot) -> None:
        """A question was answered."""

    def placed(self, number: int | None, side: str, at: Spot) -> None:
        """An end was placed: of a pair, or of a new one or the last asked."""


def cells_of(grid: Any, layers: Any) -> Iterable[tuple[Any, tuple[int, ...]]]:
    """Cells of napari's grid, and the numbers of the layers in each."""
    # napari 0.7.1 wants to know how many layers there are, later ones which.
    if 'nlayers' in signature(grid.iter_viewboxes).parameters:
        layers = len(layers)
    cells: Iterable[tuple[Any, tuple[int, ...]]] = grid.iter_viewboxes(layers)
    return cells


class AskTool:
    """Answers clicks while it is on."""

    def __init__(
        self,
        viewer: Any,
        keeper: PairKeeper,
        dots: PairDots,
        say: Callable[[str], None],
    ) -> None:
        self._viewer = viewer
        self._keeper = keeper
        self._dots = dots
        self._say = say
        self._on = False

    @property
    def on(self) -> bool:
        """Whether clicks are answered."""
        return self._on

    def switch(self, on: bool) -> None:
        """Start or stop answering clicks."""
        callbacks = self._viewer.mouse_drag_callbacks
        if on and not self._on:
            callbacks.append(self._on_mouse)
        elif not on and self._on:
            callbacks.remove(self._on_mouse)
        self._on = on

    def _on_mouse(
        self,
        viewer: Any,  # noqa: ARG002
        event: Any,
    ) -> Generator[None, None, None]:
        keys = {getattr(key, 'name', str(key)) for key in event.modifiers}
        if event.button != 1 or keys - {'Shift'}:
            return
        position = np.array(event.position, float)
        grabbed = None if keys else self._grabbed(position)
        if grabbed is not None:
            # The camera stays where it is.
            event.handled = True
            yield from self._drag(event, *grabbed)
            return
        yield
        if event.type == 'mouse_move':
            # A drag moves the camera or paints; it is no question.
            return
        if keys:
            self.place(position)
        else:
            self.answer(position)

    def _grabbed(self, position: Any) -> tuple[str, int] | None:
        """Side and number of the point under the mouse."""
        shown = self._keeper.shown()
        active = self._viewer.layers.selection.active
        if shown is None:
            return None
        source, target, planes = shown
        for side, stack, other in (
            ('source', source, target),
            ('target', target, source),
        ):
            layer = self._dots.layer_of(stack, other)
            if layer is None:
                continue
            if active is layer and str(active.mode) != 'pan_zoom':
                # napari's own tools hold it.
                continue
            row, col = self._place(stack, position)[-2:]
            number = self._dots.hit(stack, other, planes, (row, col))
            if number is not None:
                return side, number
        return None

    def _drag(
        self, event: Any, side: str, number: int
    ) -> Generator[None, None, None]:
        """Move a point with the mouse, which places it at the end.

        Yields: until the next event of the mouse, as napari drives it.
        """
        shown = self._keeper.shown()
        assert shown is not None
        source, target, planes = shown
        pair = (source, target) if side == 'source' else (target, source)
        at: Spot | None = None
        yield
        while event.type == 'mouse_move':
            event.handled = True
            row, col = self._place(pair[0], event.position)[-2:]
            at = float(row), float(col)
            self._dots.drag(*pair, (planes, number), at)
            yield
        if at is not None:
            self._keeper.placed(number, side, at)

    def place(self, position: Any) -> tuple[str, Spot] | None:
        """Place an end of a landmark.

        ``position`` (sequence of float): position of the click in world
        coordinates. It belongs to the point of the other image that was asked
        about or placed last.
        Returns: which image it is in ('source' or 'target') with its row and
        column there; None if it is in neither.
        """
        shown = self._keeper.shown()
        side = None if shown is None else self._side(position, *shown[:2])
        if shown is None or side is None:
            self._say('Click inside the source or the target')
            return None
        stack = shown[0] if side == 'source' else shown[1]
        row, col = self._place(stack, position)[-2:]
        at = float(row), float(col)
        self._keeper.placed(None, side, at)
        return side, at

    def answer(self, position: Any) -> tuple[str, np.ndarray] | None:
        """Answer a click.

        Returns: which image the answer is in ('source' or 'target') and its
        row and column there; None if there is no answer.
        """
        shown, match = self._keeper.shown(), self._keeper.match()
        if shown is None or match is None:
            self._say('Nothing to ask yet: match these planes first')
            return None
        source, target, _ = shown
        side = self._side(position, source, target)
        if side is None:
            self._say('Click inside the source or the target')
            return None
        here, there = (
            (source, target) if side == 'source' else (target, source)
        )
        start = self._place(here, position)[-2:]
        to: Side = 'target' if side == 'source' else 'source'
        end = match.warp_points(start[None], to=to)[0]
        row, col = map(float, end)
        self._keeper.asked(
            side, (float(start[0]), float(start[1])), (row, col)
        )
        where = there.grid.plane_shape
        inside = 0 <= row + 0.5 <= where[0] and 0 <= col + 0.5 <= where[1]
        beyond = '' if inside else ', beyond its edge'
        self._say(
            f'{here.name} ({start[0]:.0f}, {start[1]:.0f}) → '
            f'{there.name} ({row:.0f}, {col:.0f}){beyond}. Wrong? Drag the '
            'point to where it belongs'
        )
        return to, end

    def _side(self, position: Any, source: Stack, target: Stack) -> str | None:
        """Which image was clicked: the active one, else the uppermost."""
        sides = {source.uid: 'source', target.uid: 'target'}
        hit = []
        layers, cell = self._layers_under_cursor()
        active = self._viewer.layers.selection.active
        first = [active] if active in layers else []
        for layer in (*first, *reversed(layers)):
            side = sides.get(getattr(layer, 'unique_id', None))
            if side is None and cell:
                # What lies on an image has a cell of its own.
                side = sides.get(about_layer(layer).get('on'))
            if side is None or not layer.visible:
                continue
            stack = source if side == 'source' else target
            row, col = self._place(stack, position)[-2:]
            rows, cols = stack.grid.plane_shape
            if -0.5 <= row <= rows - 0.5 and -0.5 <= col <= cols - 0.5:
                hit.append(side)
        return hit[0] if hit else None

    def _place(self, stack: Stack, position: Any) -> np.ndarray:
        """Data coordinates of an image at a position of the world."""
        world = np.asarray(position, float)[None]
        return stack.grid.from_world(world, world_units(self._viewer))[0]

    def _layers_under_cursor(self) -> tuple[list[Any], bool]:
        """Layers of the grid's cell that was clicked, or all of them."""
        viewer = self._viewer
        layers = list(viewer.layers)
        grid = getattr(viewer, 'canvas', viewer).grid
        cell = getattr(viewer.cursor, 'viewbox', None)
        if not grid.enabled or cell is None:
            return layers, False
        for at, indices in cells_of(grid, viewer.layers):
            if at == cell:
                return [layers[index] for index in sorted(indices)], True
        return layers, False
