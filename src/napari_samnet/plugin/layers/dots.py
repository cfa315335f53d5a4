"""Numbered points in both images: questions, answers and landmarks.

One layer for each image of a pair. What is moved, deleted or added there with
napari's own tools is told to whoever draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np
from napari.layers import Points
from pandas import DataFrame, isna

from napari_samnet.plugin.layers.edits import (
    about_layer,
    find_result,
    mark_written,
)
from napari_samnet.plugin.layers.results import undisturbed
from napari_samnet.plugin.model.capture import Stack
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.landmark_pairs import PointPair, Spot

#: Color of their numbers, which can be read on black and on white.
NUMBERS = '#ff2fd0'

#: Colors that tell neighboring pairs apart, light enough for any image.
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

#: Opacity of a landmark that is switched off.
_OFF = 0.35

#: What the metadata of the layers say they are.
_ABOUT = {
    'source': {'role': 'points asked'},
    'target': {'role': 'points answered'},
}

#: Planes of source and target, and number of a pair there.
Row = tuple[tuple[Index, Index], int]


class PairDots:
    """Draws the pairs of two images as points.

    ``moved``: called with planes, number, side and place of a point that was
    moved with napari's tools, or of a new one, whose number is 0.
    ``removed``: called with planes and number of a point that was deleted.
    """

    def __init__(
        self,
        viewer: Any,
        moved: Callable[[tuple[Index, Index], int, str, Spot], None],
        removed: Callable[[tuple[Index, Index], int], None],
    ) -> None:
        self._viewer = viewer
        self._moved = moved
        self._removed = removed
        #: Tells its layers from those of a dock that was closed.
        self._mark = uuid4().hex
        self._sides: dict[Hashable, str] = {}
        self._rows: dict[Hashable, list[Row]] = {}
        self._drawn: dict[Hashable, tuple[list[Row], list[Any]]] = {}
        self._drawing = False

    def draw(
        self,
        source: Stack,
        target: Stack,
        pairs: Mapping[tuple[Index, Index], Mapping[int, PointPair]],
    ) -> None:
        """Bring the points up to date."""
        with undisturbed(self._viewer), self._ours():
            for side, stack, other in (
                ('source', source, target),
                ('target', target, source),
            ):
                self._draw_side(side, stack, other, pairs)

    def adopt(
        self, source: Stack, target: Stack
    ) -> dict[tuple[Index, Index], dict[int, PointPair]]:
        """Take over the pairs that another dock has left in its layers.

        Returns: the pairs of each two planes, by number.
        """
        found: dict[Row, PointPair] = {}
        gone: set[Row] = set()
        for side, stack, other in (
            ('source', source, target),
            ('target', target, source),
        ):
            layer = self.layer_of(stack, other)
            about = {} if layer is None else about_layer(layer)
            left = about.get('pairs', ())
            if about.get('dock') in (None, self._mark):
                continue
            self._listen(layer, side)
            self._mark_drawn(layer, side, stack, other, left)
            self._rows[layer.unique_id] = [row for row, _ in left]
            ids = _ids_of(layer)
            for number, (row, pair) in enumerate(left):
                if number in ids:
                    # It may have been moved while there was no dock.
                    at = _spot(layer.data[ids.index(number)])
                    found[row] = replace(found.get(row, pair), **{side: at})
                else:
                    gone.add(row)
        pairs: dict[tuple[Index, Index], dict[int, PointPair]] = {}
        for planes, number in found.keys() - gone:
            pair = found[planes, number]
            pairs.setdefault(planes, {})[number] = pair
        return pairs

    def prepare(self, source: Stack, target: Stack) -> Iterator[None]:
        """Make the layers ahead of the first question.

        Drawing points and their numbers for the first time takes most of a
        second, so one is drawn where nobody sees it.
        """
        made = []
        for side, stack, other in (
            ('source', source, target),
            ('target', target, source),
        ):
            if self.layer_of(stack, other) is not None:
                continue
            with undisturbed(self._viewer), self._ours():
                layer = self._make(side, stack, other)
                layer.opacity = 0
                layer.data = np.zeros((1, layer.ndim))
                layer.features = DataFrame(
                    {'number': [0], 'landmark': [False], 'row': [0]}
                )
                layer.selected_data = set()
            made.append(layer)
            yield
        for layer in made:
            if layer.unique_id not in self._rows:
                with self._ours():
                    layer.data = np.empty((0, layer.ndim))
            layer.opacity = 1

    def remove_empty(self, source: Stack, target: Stack) -> None:
        """Take layers away in which there is no point."""
        for stack, other in ((source, target), (target, source)):
            layer = self.layer_of(stack, other)
            if layer is not None and not self._rows.get(layer.unique_id):
                self._viewer.layers.remove(layer)

    def _draw_side(
        self,
        side: str,
        stack: Stack,
        other: Stack,
        pairs: Mapping[tuple[Index, Index], Mapping[int, PointPair]],
    ) -> None:
        coords, rows, shown = [], [], []
        for planes, numbered in pairs.items():
            plane = planes[0] if side == 'source' else planes[1]
            for number, pair in sorted(numbered.items()):
                at = pair.source if side == 'source' else pair.target
                if at is not None:
                    coords.append((*plane, *at))
                    rows.append((planes, number))
                    shown.append(pair)
        layer = self.layer_of(stack, other)
        if layer is None:
            if not coords:
                return
            layer = self._make(side, stack, other)
        layer.opacity = layer.opacity or 1
        layer.selected_data = set()
        data = np.reshape(coords, (len(coords), layer.ndim))
        if not np.array_equal(layer.data, data):
            layer.data = data
        looks = [(pair.landmark, pair.active) for pair in shown]
        if (rows, looks) != self._drawn.get(layer.unique_id):
            self._set_looks(layer, rows, shown)
            layer.selected_data = set()
            self._drawn[layer.unique_id] = rows, looks
        self._rows[layer.unique_id] = rows
        left = tuple(zip(rows, shown, strict=True))
        self._mark_drawn(layer, side, stack, other, left)

    @staticmethod
    def _set_looks(
        layer: Any, rows: list[Row], shown: list[PointPair]
    ) -> None:
        """Number, color and symbol of each point."""
        layer.features = DataFrame(
            {
                'number': [number for _, number in rows],
                'landmark': [pair.landmark for pair in shown],
                'row': range(len(rows)),
            }
        )
        if not rows:
            return
        numbers = np.array([number for _, number in rows])
        colors = _COLORS[(numbers - 1) % len(_COLORS)].copy()
        off = [pair.landmark and not pair.active for pair in shown]
        colors[off, 3] = _OFF
        layer.face_color = colors
        layer.symbol = [
            'diamond' if pair.landmark else 'disc' for pair in shown
        ]

    def _make(self, side: str, stack: Stack, other: Stack) -> Any:
        layer = Points(
            np.empty((0, len(stack.grid.shape))),
            ndim=len(stack.grid.shape),
            name=f'{stack.name} asked',
            features=DataFrame({'number': [], 'landmark': [], 'row': []}),
            border_color='black',
            border_width=0.1,
            size=_size(stack),
            text={
                'string': '{number}',
                'anchor': 'upper_left',
                'color': NUMBERS,
            },
            **stack.grid.spatial,
        )
        self._mark_drawn(layer, side, stack, other, ())
        layers = self._viewer.layers
        place = len(layers)
        if getattr(self._viewer, 'canvas', self._viewer).grid.enabled:
            # Beside its image, as each layer has a cell of its own.
            here = [
                number
                for number, one in enumerate(layers)
                if one.unique_id == stack.uid
            ]
            place = here[0] + 1 if here else place
        # Else on top, where labels and pictures do not cover it.
        layers.insert(place, layer)
        self._listen(layer, side)
        return layer

    def _listen(self, layer: Any, side: str) -> None:
        """Hear of napari's own tools, as long as somebody holds this."""
        self._sides[layer.unique_id] = side
        layer.events.data.connect(self._on_data)

    def _mark_drawn(
        self,
        layer: Any,
        side: str,
        stack: Stack,
        other: Stack,
        pairs: Sequence[tuple[Row, PointPair]],
    ) -> None:
        """Record what a layer shows, for the next dock if this one goes."""
        about = {'key': _key(stack, other), 'on': stack.uid}
        drawn = {'dock': self._mark, 'pairs': pairs}
        mark_written(layer, {**_ABOUT[side], **about, **drawn})

    def layer_of(self, stack: Stack, other: Stack) -> Any:
        """The layer of points on an image; None if there is none."""
        return find_result(self._viewer.layers, _key(stack, other))

    def hit(
        self,
        stack: Stack,
        other: Stack,
        planes: tuple[Index, Index],
        at: Spot,
    ) -> int | None:
        """Number of the point that is at a place.

        ``stack``, ``other``: the image that it lies on, and the other one of
        the pair.
        """
        layer = self.layer_of(stack, other)
        if layer is None or not layer.visible:
            return None
        rows = self._rows.get(layer.unique_id, [])
        best, least = None, _size(stack) / 2
        for (where, number), place in zip(rows, layer.data, strict=False):
            distance = float(np.hypot(*(np.asarray(place[-2:]) - at)))
            if where == planes and distance <= least:
                best, least = number, distance
        return best

    def drag(self, stack: Stack, other: Stack, row: Row, at: Spot) -> None:
        """Move a point on screen while the mouse holds it.

        ``stack``, ``other``: the image that it lies on, and the other one of
        the pair.
        """
        layer = self.layer_of(stack, other)
        if layer is None:
            return
        rows = self._rows.get(layer.unique_id, [])
        if row not in rows:
            return
        with self._ours():
            data = np.array(layer.data)
            data[rows.index(row), -2:] = at
            layer.data = data

    @contextmanager
    def _ours(self) -> Iterator[None]:
        """Do not take changes of ours for those of the user."""
        before, self._drawing = self._drawing, True
        try:
            yield
        finally:
            self._drawing = before

    def _on_data(self, event: Any) -> None:
        """Tell what was done with napari's own tools."""
        layer = event.source
        if about_layer(layer).get('dock') != self._mark:
            # Another dock has taken it over.
            return
        side = self._sides[layer.unique_id]
        action = str(getattr(event, 'action', '')).rsplit('.', 1)[-1].lower()
        if self._drawing or action not in ('added', 'changed', 'removed'):
            return
        self._drawn.pop(layer.unique_id, None)
        rows = self._rows.get(layer.unique_id, [])
        data = np.asarray(layer.data)
        ids = _ids_of(layer)
        if action == 'removed':
            for gone in [r for n, r in enumerate(rows) if n not in ids]:
                self._removed(gone[0], gone[1])
        elif action == 'changed':
            for index in getattr(event, 'data_indices', ()):
                if 0 <= ids[index] < len(rows):
                    planes, number = rows[ids[index]]
                    self._moved(planes, number, side, _spot(data[index]))
        elif rows and len(data) > len(rows):
            self._moved(rows[0][0], 0, side, _spot(data[-1]))


def _spot(coords: Any) -> Spot:
    """Row and column of a point."""
    return float(coords[-2]), float(coords[-1])


def _ids_of(layer: Any) -> list[int]:
    """Row that each point was drawn for; -1 for one that was added since.

    napari gives a new point the row of another one, or none.
    """
    ids: list[int] = []
    for value in layer.features['row']:
        row = -1 if isna(value) else int(value)
        ids.append(-1 if row in ids else row)
    return ids


def _key(stack: Stack, other: Stack) -> str:
    return f'ask {stack.uid} {other.uid}'


def _size(stack: Stack) -> float:
    return max(4.0, 0.035 * max(stack.grid.plane_shape))
