"""Landmarks in the dock: pairs of points that bend the match."""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    Hashable,
    Iterable,
    Iterator,
)
from pathlib import Path

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from napari_samnet.arrays.checks import checked_points
from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.io.landmarks_csv import (
    Landmarks,
    read_landmarks,
    write_landmarks,
)
from napari_samnet.plugin.layers.ask import AskTool
from napari_samnet.plugin.layers.dots import PairDots
from napari_samnet.plugin.model.capture import Stack
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.landmark_pairs import LandmarkPairs, Spot
from napari_samnet.plugin.model.request import Request
from napari_samnet.plugin.transfer.control import Control, DockParts
from napari_samnet.plugin.transfer.matches import Matched, PairKey
from napari_samnet.plugin.transfer.worst import look_at
from napari_samnet.plugin.widgets.pair_table import PairRow

#: The two images and their planes that are shown.
Shown = tuple[Stack, Stack, tuple[Index, Index]]

#: Milliseconds in which the window is drawn between two preparations.
BREATH = 30


class LandmarkControl(Control):
    """Keeps the landmarks of every pair of planes, and shows them.

    ``shown``: gives the two images and the planes that the viewer shows, or
    None.
    ``bend``: called with the key of a pair of planes whose landmarks have
    changed.
    """

    def __init__(
        self,
        dock: DockParts,
        shown: Callable[[], Shown | None],
        bend: Callable[[PairKey], None],
    ) -> None:
        super().__init__(dock)
        self._shown = shown
        self._bend = bend
        viewer, panel, status = dock.viewer, dock.panel, dock.status
        self._held: dict[PairKey, LandmarkPairs] = {}
        #: Number of the pair whose other end Shift and a click places, and
        #: the side of the end that is there.
        self._open: tuple[PairKey, int, str] | None = None
        self._dots = PairDots(viewer, self._on_moved, self._on_deleted)
        self._preparing: Iterator[None] = iter(())
        self._breath = QTimer(panel, singleShot=True, interval=BREATH)
        self._breath.timeout.connect(self._prepare)
        self.asking = AskTool(viewer, self, self._dots, status.say)
        panel.asking.toggled.connect(self._on_asking)
        table = panel.landmarks
        table.switched.connect(self._on_switched)
        table.removed.connect(self.remove)
        table.chosen.connect(self._on_chosen)
        table.undo.clicked.connect(self.undo)
        table.load.clicked.connect(self._on_load)
        table.save.clicked.connect(self._on_save)

    # What the tool for the mouse asks.

    def shown(self) -> Shown | None:
        """The two images and their planes that are shown."""
        shown = self._shown()
        same = shown is not None and shown[0].uid == shown[1].uid
        return None if same else shown

    def match(self) -> Correspondence | None:
        """How they correspond, if they were matched."""
        matched = self._matched()
        return None if matched is None else matched.match

    def asked(self, side: str, start: Spot, end: Spot) -> None:
        """Keep a question and its answer."""
        key, pairs = self._current()
        ends = (start, end) if side == 'source' else (end, start)
        self._open = key, pairs.ask(*ends), side
        self._draw(key)

    def placed(self, number: int | None, side: str, at: Spot) -> None:
        """Place an end: of a pair, or of the one that is open."""
        key, pairs = self._current()
        if number is None:
            number = self._open_number(key, side)
            if number is None:
                ends = (at, None) if side == 'source' else (None, at)
                self._open = key, pairs.ask(*ends), side
                self._draw(key)
                other = 'target' if side == 'source' else 'source'
                self._status.say(f'Shift and click its place in the {other}')
                return
        self._open = None
        pairs.place(number, side, at)
        self._changed(key)

    def _open_number(self, key: PairKey, side: str) -> int | None:
        """The pair that waits for an end on a side."""
        if self._open is None:
            return None
        where, number, there = self._open
        known = number in self._held.get(where, LandmarkPairs()).pairs
        return number if where == key and there != side and known else None

    # What buttons and scripts do.

    def add(self, source: Spot, target: Spot) -> None:
        """Add a landmark to the planes that are shown."""
        key, pairs = self._current()
        for side, at, uid in zip(
            ('source', 'target'), (source, target), key[:2], strict=True
        ):
            self._check_inside(side, checked_points([at]), uid)
        number = pairs.ask(source, None)
        pairs.place(number, 'target', target)
        self._changed(key)

    def replace(self, landmarks: Landmarks) -> None:
        """Put landmarks in the place of those of the planes shown."""
        key, pairs = self._current()
        self._check_inside('source', landmarks.source, key[0])
        self._check_inside('target', landmarks.target, key[1])
        pairs.replace(landmarks)
        self._changed(key)

    def _check_inside(
        self, name: str, points: np.ndarray, uid: Hashable
    ) -> None:
        """Refuse pairs of which none lies in the image."""
        shown = self.shown()
        assert shown is not None
        stack = shown[0] if shown[0].uid == uid else shown[1]
        limits = np.array(stack.grid.plane_shape)
        inside = ((points >= -0.5) & (points <= limits - 0.5)).all(1)
        if len(points) and not inside.any():
            raise InputError(
                f'none of the {len(points)} points of the {name} lies in '
                f'{stack.name!r}, which has {limits[0]} x {limits[1]} '
                'pixels: are they in other units, or of another pair?'
            )

    def remove(self, numbers: Iterable[int]) -> None:
        """Take landmarks away."""
        key, pairs = self._current()
        pairs.remove(numbers)
        self._changed(key)

    def remove_all(self) -> None:
        """Take all landmarks of the planes shown away."""
        self.remove(self._current()[1].landmarks)

    def undo(self) -> None:
        """Take back the last change of the landmarks."""
        key, pairs = self._current()
        if pairs.can_undo:
            pairs.undo()
            self._changed(key)

    def load(self, path: str | Path, target: str | Path | None = None) -> None:
        """Read landmarks of a file, or of two files of points."""
        self.replace(read_landmarks(path, target))

    def save(self, path: str | Path) -> None:
        """Write the landmarks of the planes shown."""
        saved = self._current()[1].saved
        if not len(saved.source):
            raise InputError('there are no landmarks to save')
        write_landmarks(path, saved)

    @property
    def current(self) -> Landmarks:
        """All landmarks of the planes shown."""
        shown = self.shown()
        if shown is None:
            return LandmarkPairs().saved
        held = self._held.get(_key_of(shown))
        return (held or LandmarkPairs()).saved

    def used_by(
        self, request: Request
    ) -> dict[tuple[Index, Index], Landmarks]:
        """Landmarks that a run is to meet."""
        return {
            pair.planes: held.used
            for pair in request.pairs
            if (held := self._held.get((*request.images, *pair.planes)))
        }

    # Following the viewer.

    def refresh(self) -> None:
        """Show the landmarks of the planes that are shown."""
        shown = self.shown()
        if shown is not None and _key_of(shown) not in self._held:
            self._adopt(shown)
        held = None if shown is None else self._held.get(_key_of(shown))
        rows: list[PairRow] = []
        if held is not None:
            rows = self._rows(held)
        self._panel.show_landmarks(
            rows,
            can_undo=held is not None and held.can_undo,
            possible=shown is not None,
        )

    def _adopt(self, shown: Shown) -> None:
        """Go on with what was placed in a dock that was closed since."""
        images = shown[0].uid, shown[1].uid
        for planes, pairs in self._dots.adopt(*shown[:2]).items():
            self._held.setdefault((*images, *planes), LandmarkPairs(pairs))

    def forget_others(self, present: Collection[Hashable]) -> None:
        """Let go of landmarks whose images are gone."""
        for key in [k for k in self._held if not {*k[:2]} <= {*present}]:
            del self._held[key]

    def stop(self) -> None:
        """Leave the mouse alone."""
        self._panel.asking.setChecked(False)

    # Inner workings.

    def _current(self) -> tuple[PairKey, LandmarkPairs]:
        shown = self.shown()
        if shown is None:
            raise InputError(
                'landmarks need two images: choose source and target'
            )
        key = _key_of(shown)
        return key, self._held.setdefault(key, LandmarkPairs())

    def _matched(self) -> Matched | None:
        shown = self.shown()
        return None if shown is None else self._matches.get(_key_of(shown))

    def _rows(self, held: LandmarkPairs) -> list[PairRow]:
        """Lines of the table, with what the match is off by."""
        matched = self._matched()
        pairs = held.landmarks
        met: dict[int, bool] = {}
        errors: dict[int, float] = {}
        if matched is not None and pairs:
            saved = held.saved
            led = matched.unbent.warp_points(saved.source)
            off = np.linalg.norm(led - saved.target, axis=1)
            errors = dict(zip(pairs, off.tolist(), strict=True))
            about = matched.match.metadata.get('landmarks', {})
            used = [n for n, pair in pairs.items() if pair.is_used]
            if len(about.get('met', ())) == len(used):
                met = dict(zip(used, about['met'], strict=True))
        return [
            PairRow(
                number,
                pair.source,
                pair.target,
                pair.active,
                errors.get(number),
                met.get(number, True),
            )
            for number, pair in pairs.items()
            if pair.source is not None and pair.target is not None
        ]

    def _changed(self, key: PairKey) -> None:
        self._draw(key)
        self.refresh()
        if self._matches.get(key) is None:
            count = len(self._held[key].landmarks)
            plural = 's' if count != 1 else ''
            self._status.say(
                f'{count} landmark{plural}: Run matches with them'
            )
        else:
            self._bend(key)

    def _draw(self, key: PairKey) -> None:
        """Draw the pairs of two images, on all their planes."""
        shown = self.shown()
        if shown is None or (shown[0].uid, shown[1].uid) != key[:2]:
            return
        pairs = {
            (held_key[2], held_key[3]): held.pairs
            for held_key, held in self._held.items()
            if held_key[:2] == key[:2]
        }
        self._dots.draw(shown[0], shown[1], pairs)

    def _on_moved(
        self, planes: tuple[Index, Index], number: int, side: str, at: Spot
    ) -> None:
        """Take what was moved or added with napari's own tools."""
        shown = self.shown()
        if shown is None:
            return
        if number == 0 or shown[2] != planes:
            if number == 0:
                self.placed(None, side, at)
            return
        self.placed(number, side, at)

    def _on_deleted(self, planes: tuple[Index, Index], number: int) -> None:
        shown = self.shown()
        if shown is not None and shown[2] == planes:
            self.remove([number])

    def _on_switched(self, number: int, active: bool) -> None:
        key, pairs = self._current()
        pairs.switch(number, active)
        self._changed(key)

    def _on_chosen(self, number: int) -> None:
        shown = self.shown()
        if shown is None:
            return
        pair = self._current()[1].landmarks.get(number)
        if pair is not None and pair.target is not None:
            look_at(self._viewer, shown[1].grid, (*shown[2][1], *pair.target))

    def _on_asking(self, on: bool) -> None:
        self.asking.switch(on)
        shown = self.shown()
        self._preparing = iter(())
        if on:
            self._status.say('Click in the source or the target')
        if shown is not None and on:
            self._preparing = self._dots.prepare(*shown[:2])
            self._breath.start()
        elif shown is not None and self._panel.isVisible():
            self._dots.remove_empty(*shown[:2])

    def _prepare(self) -> None:
        """Make ready what the first click needs, while nobody waits."""
        if next(self._preparing, self) is not self:
            self._breath.start()

    def _on_load(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(
            self._panel,
            'Landmarks: one file, or the points of source and target',
            '',
            'CSV (*.csv *.txt);;All files (*)',
        )
        if paths:
            self._status.attempt(lambda: self.load(*paths[:2]))

    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self._panel, 'Save landmarks', 'landmarks.csv', 'CSV (*.csv)'
        )
        if path:
            self._status.attempt(lambda: self.save(path))


def _key_of(shown: Shown) -> PairKey:
    return shown[0].uid, shown[1].uid, *shown[2]
