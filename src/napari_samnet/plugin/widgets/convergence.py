"""How a run is getting on: a picture and a curve.

Both are painted in the colors of the widget's palette, so that they follow
napari's theme.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPalette, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget


class Curve(QWidget):
    """A curve, and a level to compare it with."""

    #: Points that are few enough to be marked each.
    FEW = 25

    def __init__(
        self,
        caption: str,
        unit: str = '',
        *,
        beside: str = '',
        logarithmic: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._caption, self._unit = caption, unit
        self._beside = beside
        self._logarithmic = logarithmic
        self._places: list[float] = []
        self._values: list[float] = []
        self._level = 0.0
        self._ends = (0.0, 1.0)
        self.setSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed
        )
        self.setAccessibleName(caption)

    def sizeHint(self) -> QSize:
        return QSize(180, 84)

    @property
    def values(self) -> tuple[float, ...]:
        """The values shown."""
        return tuple(self._values)

    @property
    def level(self) -> float:
        """The level shown; 0 if there is none."""
        return self._level

    def clear(self, first: float, last: float, level: float = 0.0) -> None:
        """Begin an empty curve.

        ``level``: level to compare with, 0 for none.
        """
        self._places.clear()
        self._values.clear()
        self._ends = (first, max(last, first + 1))
        self._level = level
        self.update()

    def put(self, place: float, value: float) -> None:
        """Add a value at its place, which is right of those before."""
        self._places.append(place)
        self._values.append(value)
        self.update()

    def _height(self, value: float) -> float:
        """Height of a value, from 0 to 1."""
        shown = [*self._values, *([self._level] if self._level > 0 else [])]
        if self._logarithmic:
            positive = [number for number in shown if number > 0]
            low, high = min(positive, default=0.1), max(positive, default=1.0)
            return _share(value, low / 2, high * 2)
        low, high = min(shown, default=0.0), max(shown, default=1.0)
        # The axis spans at least 2 %, so that small changes look small.
        space = max(high - low, 0.02 * abs(high), 1e-9)
        middle = (low + high) / 2
        return (value - middle) / (1.2 * space) + 0.5

    def _points(self, area: QRectF) -> list[QPointF]:
        """Curve in the widget."""
        first, last = self._ends
        return [
            QPointF(
                area.left() + area.width() * (place - first) / (last - first),
                area.bottom() - area.height() * self._height(value),
            )
            for place, value in zip(self._places, self._values, strict=True)
        ]

    def _text(self) -> str:
        """What stands above the curve."""
        if not self._values:
            return self._caption
        digits = 2 if self._logarithmic else 3
        text = f'{self._caption}: {self._values[-1]:.{digits}g}{self._unit}'
        if self._beside and self._level > 0:
            text += f' ({self._level:.{digits}g} {self._beside})'
        return text

    def paintEvent(self, event: Any) -> None:  # noqa: ARG002
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette = self.palette()
        ink = palette.color(QPalette.ColorRole.WindowText)
        faint = palette.color(QPalette.ColorRole.WindowText)
        faint.setAlpha(70)
        text = painter.fontMetrics().height()
        area = QRectF(self.rect()).adjusted(4, text + 6, -4, -6)
        painter.setPen(faint)
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        if self._level > 0:
            level = area.bottom() - area.height() * self._height(self._level)
            painter.setPen(QPen(faint, 1, Qt.PenStyle.DashLine))
            painter.drawLine(
                QPointF(area.left(), level), QPointF(area.right(), level)
            )
        painter.setPen(ink)
        painter.drawText(
            QRectF(4, 0, self.width() - 8, text + 4),
            Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
            self._text(),
        )
        points = self._points(area)
        painter.setPen(QPen(ink, 1.6))
        if len(points) > 1:
            painter.drawPolyline(QPolygonF(points))
        if len(points) <= self.FEW:
            painter.setBrush(ink)
            for point in points:
                painter.drawEllipse(point, 2.2, 2.2)
        painter.end()


class ConvergencePlot(Curve):
    """The mean change of the field, iteration by iteration."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(
            'Change per iteration', ' px', logarithmic=True, parent=parent
        )
        self.setAccessibleName('Convergence')

    @property
    def changes(self) -> tuple[float, ...]:
        """The values shown, in pixels at working size."""
        return self.values

    def restart(self, total: int, tolerance: float) -> None:
        """Begin an empty curve.

        ``tolerance``: change below which a run has converged, in pixels.
        """
        self.setToolTip('')
        self.clear(1, total, tolerance)

    def add(self, change: float) -> None:
        """Add the change of one more iteration."""
        self.put(len(self.values) + 1, change)
        self.setToolTip(
            f'Mean change of the field in iteration {len(self.values)}: '
            f'{change:.2f} px at working size'
        )


def _share(value: float, low: float, high: float) -> float:
    """Height of a value on a logarithmic scale, from 0 to 1."""
    value = min(max(value, low), high)
    return math.log(value / low) / math.log(high / low)


class Picture(QWidget):
    """A small picture that keeps its proportions."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pixmap: QPixmap | None = None
        policy = QSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred
        )
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName('Result so far')
        self.setVisible(False)

    @property
    def shown(self) -> bool:
        """Whether there is a picture."""
        return self._pixmap is not None

    def show_array(self, rgba: NDArray[np.uint8]) -> None:
        """Show an RGBA array of shape (rows, columns, 4)."""
        rgba = np.ascontiguousarray(rgba)
        rows, columns, _ = rgba.shape
        image = QImage(
            rgba.data,
            columns,
            rows,
            4 * columns,
            QImage.Format.Format_RGBA8888,
        )
        # The pixmap copies; the array need not outlive this call.
        self._pixmap = QPixmap.fromImage(image)
        self.setVisible(True)
        self.updateGeometry()
        self.update()

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        if self._pixmap is None:
            return 0
        return round(width * self._pixmap.height() / self._pixmap.width())

    def sizeHint(self) -> QSize:
        return QSize(180, self.heightForWidth(180))

    def paintEvent(self, event: Any) -> None:  # noqa: ARG002
        if self._pixmap is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        size = self._pixmap.size().scaled(
            self.size(), Qt.AspectRatioMode.KeepAspectRatio
        )
        left = (self.width() - size.width()) / 2
        painter.drawPixmap(
            QRectF(left, 0, size.width(), size.height()),
            self._pixmap,
            QRectF(self._pixmap.rect()),
        )
        painter.end()
