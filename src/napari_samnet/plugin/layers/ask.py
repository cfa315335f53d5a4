"""Click to ask: a click in one image shows the point in the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable
from inspect import signature
from typing import Any

import numpy as np
from napari.layers import Points

from napari_samnet.correspondence import Correspondence, Side
from napari_samnet.plugin.layers.edits import (
    about_layer,
    find_result,
    mark_written,
)
from napari_samnet.plugin.layers.results import undisturbed
from napari_samnet.plugin.model.capture import Stack
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.units import world_units

__all__ = ['AskTool', 'Asked', 'cells_of']

#: Colors that tell neighboring questions apart, light enough for any image.
_COLORS = np.array(
    [
        (1.00, 0.82, 0.20, 1),
        (0.30, 0.85, 0.95, 1),
        (1.00, 0.45, 0.55, 1),
        (0.60, 0.95, 0.45, 1),
        (0.85, 0.60, 1.00, 1),
        (1.00, 0.65, 0.30, 1),
    ]
)

#: Pair of images, planes of each, and how they correspond.
Asked = tuple[Stack, Stack, tuple[Index, Index], Correspondence]


def cells_of(grid: Any, layers: Any) -> Iterable[tuple[Any, tuple[int, ...]]]:
    """Cells of napari's grid, and the numbers of the layers in each."""
    # napari 0.7.1 wants to know how many layers there are, later ones which.
    if 'nlayers' in signature(grid.iter_viewboxes).parameters:
        layers = len(layers)
    found: Iterable[tuple[Any, tuple[int, ...]]] = grid.iter_viewboxes(layers)
    return found


class AskTool:
    """Answers clicks while it is on.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Viewer in which clicks are asked about.
    add : callable
        Adds a layer just above an image, given that image's identity.
    ask : callable
        Gives the current match, or None if there is none.
    say : callable
        Called with a line for the user.
    """

    def __init__(
        self,
        viewer: Any,
        add: Callable[[Any, Hashable], None],
        ask: Callable[[], Asked | None],
        say: Callable[[str], None],
    ) -> None:
        self._viewer = viewer
        self._add = add
        self._ask = ask
        self._say = say
        self._on = False

    @property
    def on(self) -> bool:
        """Whether clicks are answered."""
        return self._on

    def turn(self, on: bool) -> None:
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
        if event.button != 1 or event.modifiers:
            return
        position = np.array(event.position, float)
        yield
        if event.type == 'mouse_move':
            # A drag moves the camera or paints; it is no question.
            return
        self.answer(position)

    def answer(self, position: Any) -> tuple[str, np.ndarray] | None:
        """Answer a click.

        Parameters
        ----------
        position : sequence of float
            Position of the click in world coordinates.

        Returns
        -------
        tuple of str and ndarray, or None
            Which image the answer is in ('source' or 'target') and its row
            and column there; None if there is no answer.
        """
        current = self._ask()
        if current is None:
            self._say('Nothing to ask yet: match these planes first')
            return None
        source, target, at, found = current
        side = self._side(position, source, target)
        if side is None:
            self._say('Click inside the source or the target')
            return None
        here, there = (
            (source, target) if side == 'source' else (target, source)
        )
        start = self._place(here, position)[-2:]
        to: Side = 'target' if side == 'source' else 'source'
        end = found.warp_points(start[None], to=to)[0]
        own, other = at if side == 'source' else at[::-1]
        with undisturbed(self._viewer):
            number = self._mark(here, own, start, 'asked', None)
            self._mark(there, other, end, 'answer', number)
        row, col = end
        where = there.grid.plane_shape
        inside = 0 <= row + 0.5 <= where[0] and 0 <= col + 0.5 <= where[1]
        beyond = '' if inside else ', beyond its edge'
        self._say(
            f'{here.name} ({start[0]:.0f}, {start[1]:.0f}) → '
            f'{there.name} ({row:.0f}, {col:.0f}){beyond}'
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

    def _mark(
        self,
        stack: Stack,
        index: Index,
        at: Any,
        role: str,
        number: int | None,
    ) -> int:
        """Add a numbered point to our layer on an image."""
        key = f'ask {stack.uid}'
        layer = find_result(self._viewer.layers, key)
        coords = np.array([[*index, *at]], float)
        if layer is None:
            number = 1 if number is None else number
            layer = Points(
                coords,
                name=f'{stack.name} asked',
                features={'number': [number]},
                face_color=_COLORS[[(number - 1) % len(_COLORS)]],
                border_color='black',
                border_width=0.1,
                size=max(4.0, 0.035 * max(stack.grid.plane_shape)),
                text={
                    'string': '{number}',
                    'anchor': 'upper_left',
                    'color': 'white',
                },
                **stack.grid.spatial,
            )
            mark_written(layer, {'key': key, 'role': role, 'on': stack.uid})
            self._add(layer, stack.uid)
            return number
        if number is None:
            numbers = layer.features['number']
            number = int(numbers.max()) + 1 if len(numbers) else 1
        # The color to come would be that of the points selected, too.
        layer.selected_data = set()
        layer.feature_defaults = {'number': number}
        layer.current_face_color = tuple(_COLORS[(number - 1) % len(_COLORS)])
        layer.add(coords)
        layer.selected_data = set()
        return number
