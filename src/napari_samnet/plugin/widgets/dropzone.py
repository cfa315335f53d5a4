"""Where masks are dropped: rows of the layer list, or files.

The type of a dragged layer is looked at as soon as it enters, so that the
cursor says at once whether it can be dropped, and the zone says why not.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QPainter, QPalette, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_samnet.plugin.model.capture import kind_of
from napari_samnet.plugin.widgets.choosers import unwrapped

#: What napari's layer list offers when rows are dragged.
LAYER_ROWS = 'application/x-list-index'

#: Types of layers that can be carried, as napari writes them.
CARRIED = ('labels', 'points', 'shapes')

#: Lines of reasons that are shown at most; the tooltip has them all.
_LINES = 10

#: Alignment and text flags are enumerations of their own.
_CENTERED = Qt.AlignmentFlag.AlignCenter.value | Qt.TextFlag.TextWordWrap.value
_FROM_TOP = (
    Qt.AlignmentFlag.AlignTop.value
    | Qt.AlignmentFlag.AlignHCenter.value
    | Qt.TextFlag.TextWordWrap.value
)

_HELP = (
    '<p>Drag a layer from the layer list, or a file of a mask or of points '
    'from a folder, and drop it here: it is carried to the target at once.</p>'
)

PROMPT = 'Drop a mask here\nLabels, Points, Shapes or a file'


def dragged_layers(event: Any, viewer: Any) -> list[Any]:
    """Layers that an event drags out of the layer list.

    ``event`` (QDropEvent): enter, move or drop.
    Returns: layers of any type, from the top of the list down; empty if it
    drags something else. The payload itself is never decoded: another program
    may offer the same format.
    """
    mime = event.mimeData()
    if not mime.hasFormat(LAYER_ROWS):
        return []
    items = getattr(mime, 'items', None)
    if items is None and event.source() is not None:
        # All dragged rows are selected.
        items = [x for x in viewer.layers if x in viewer.layers.selection]
        items = items[::-1]
    layers = [unwrapped(item) for item in items or ()]
    return [x for x in layers if x in viewer.layers]


def dragged_files(event: Any) -> list[str]:
    """Paths of the local files that an event drags."""
    mime = event.mimeData()
    if not mime.hasUrls():
        return []
    return [u.toLocalFile() for u in mime.urls() if u.isLocalFile()]


class DropZone(QWidget):
    """A place to drop annotations."""

    #: Layers were dropped: list, all of a type that can be carried.
    layers_dropped = Signal(object)
    #: Files were dropped: list of str.
    files_dropped = Signal(object)
    #: Rows of the layer list were refused: list of layers.
    refused = Signal(object)
    #: The reason of a refusal was taken away.
    cleared = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._hot = False
        self._reason = ''
        self.setAcceptDrops(True)
        self.setSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed
        )
        self.setAccessibleName('Drop zone for masks')
        self.setToolTip(_HELP)

    @property
    def reason(self) -> str:
        """Why the last drag was refused; empty if it was not."""
        return self._reason

    @property
    def is_hot(self) -> bool:
        """Whether something that can be dropped is over the zone."""
        return self._hot

    def refuse(self, reason: str) -> None:
        """Show why something cannot be dropped, until a click or a drag.

        ``reason``: one line for each thing that was refused; empty shows the
        prompt.
        """
        self._reason = reason
        lines = ''.join(
            f'<p>{html.escape(line)}</p>' for line in reason.splitlines()
        )
        self.setToolTip(lines or _HELP)
        self.updateGeometry()
        self.update()
        if not reason:
            self.cleared.emit()

    def mousePressEvent(self, event: Any) -> None:  # noqa: ARG002
        """Take away a reason that was read."""
        self.refuse('')

    def _text(self) -> str:
        if not self._reason:
            return PROMPT
        # A path may be broken behind each of its parts, and has no spaces.
        broken = re.sub(r'([/\\_.-])', '\\1\u200b', self._reason)
        return f'{broken}\n(click to go on)'

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        """As high as the whole text needs, paths broken where they must."""
        metrics = self.fontMetrics()
        room = QRect(0, 0, max(width - 18, 40), 10_000)
        needed = metrics.boundingRect(room, _CENTERED, self._text()).height()
        least = 3 * metrics.height()
        return min(max(needed, least), _LINES * metrics.height()) + 20

    def sizeHint(self) -> QSize:
        return QSize(180, self.heightForWidth(max(self.width(), 180)))

    def minimumSizeHint(self) -> QSize:
        return QSize(80, self.heightForWidth(max(self.width(), 180)))

    def dragEnterEvent(self, event: Any) -> None:
        layers = dragged_layers(event, self._viewer)
        self.refuse('')
        if dragged_files(event) or any(kind_of(x) in CARRIED for x in layers):
            self._heat(True)
            event.acceptProposedAction()
            return
        event.ignore()
        if layers:
            self.refuse(_why_not(layers))
            self.refused.emit(layers)

    def dragLeaveEvent(self, event: Any) -> None:  # noqa: ARG002
        self._heat(False)

    def dropEvent(self, event: Any) -> None:
        self._heat(False)
        layers = dragged_layers(event, self._viewer)
        carried = [layer for layer in layers if kind_of(layer) in CARRIED]
        others = [layer for layer in layers if layer not in carried]
        files = dragged_files(event)
        if not carried and not files:
            event.ignore()
            return
        # Moving is all that the layer list offers; the row stays there.
        event.acceptProposedAction()
        if carried:
            self.layers_dropped.emit(carried + others)
        else:
            self.files_dropped.emit(files)

    def _heat(self, hot: bool) -> None:
        self._hot = hot
        self.update()

    def paintEvent(self, event: Any) -> None:  # noqa: ARG002
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        line = self.palette().color(QPalette.ColorRole.WindowText)
        line.setAlpha(255 if self._hot else 110)
        pen = QPen(line, 2.0 if self._hot else 1.0)
        if not self._hot:
            pen.setStyle(Qt.PenStyle.DashLine)
        painter.setPen(pen)
        if self._hot:
            fill = self.palette().color(QPalette.ColorRole.WindowText)
            fill.setAlpha(28)
            painter.setBrush(fill)
        area = QRectF(self.rect()).adjusted(1.5, 1.5, -1.5, -1.5)
        painter.drawRoundedRect(area, 4, 4)
        painter.setPen(ink)
        room = area.adjusted(6, 2, -6, -2)
        flags = _CENTERED
        if painter.boundingRect(room, flags, self._text()).height() > (
            room.height()
        ):
            # What does not fit is left out at the end; the tooltip has it.
            flags = _FROM_TOP
        painter.drawText(room, flags, self._text())
        painter.end()


def _why_not(layers: Sequence[Any]) -> str:
    """Why none of some layers can be dropped."""
    kind = type(layers[0]).__name__
    article = 'An' if kind[0] in 'AEIOU' else 'A'
    return f'{article} {kind} layer is no mask: drop Labels, Points or Shapes'
