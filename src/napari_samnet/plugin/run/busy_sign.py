"""The turning sign beside napari's button 'activity', and its pace.

It turns by 33 pictures a second, and for each of them the whole window is
put together again. Where the processor draws, not a graphics card, that
keeps the event loop busy and takes most of a core away from the run.
"""

from __future__ import annotations

from qtpy.QtCore import QObject
from qtpy.QtGui import QMovie
from qtpy.QtWidgets import QLabel, QStatusBar

#: Paces in per cent: napari's own, and about three pictures a second.
OWN = 100
CALM = 10


def top_of(part: QObject) -> QObject:
    """Window that something belongs to, also where its dock floats."""
    while (above := part.parent()) is not None:
        part = above
    return part


def signs(window: QObject) -> list[QMovie]:
    """Signs that turn in the status bar of a window."""
    shown = []
    for bar in window.findChildren(QStatusBar):
        movies = (text.movie() for text in bar.findChildren(QLabel))
        shown += [movie for movie in movies if movie is not None]
    return shown


def pace_sign(window: QObject, pace: int) -> None:
    """Let the signs of a window turn at a pace, in per cent of their own."""
    for movie in signs(window):
        movie.setSpeed(pace)
