"""How a run is getting on: a picture and a curve.

Both are painted in the colours of the widget's palette, so that they follow
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

__all__ = ['ConvergencePlot', 'Picture']


class ConvergencePlot(QWidget):
    """The largest change of the field, iteration by iteration.

    Parameters
    ----------
    parent : QWidget, optional
        Qt parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._changes: list[float] = []
        self._tolerance = 0.0
        self._total = 1
        self.setSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed
        )
        self.setAccessibleName('Convergence')

    def sizeHint(self) -> QSize:
        return QSize(180, 84)

    @property
    def changes(self) -> tuple[float, ...]:
        """The values shown, in pixels at working size."""
        return tuple(self._changes)

    def restart(self, total: int, tolerance: float) -> None:
        """Begin an empty curve.

        Parameters
        ----------
        total : int
            Most iterations there can be.
        tolerance : float
            Change below which a run has converged, in pixels.
        """
        self._changes.clear()
        self._total = max(1, total)
        self._tolerance = tolerance
        self.setToolTip('')
        self.update()

    def add(self, change: float) -> None:
        """Add the change of one more iteration."""
        self._changes.append(change)
        self.setToolTip(
            f'Largest change of the field in iteration {len(self._changes)}: '
            f'{change:.2f} px at working size'
        )
        self.update()

    def _points(self, area: QRectF) -> list[QPointF]:
        """Curve in the widget; the height is logarithmic."""
        low, high = self._range()
        steps = max(1, self._total - 1)
        return [
            QPointF(
                area.left() + area.width() * number / steps,
                area.bottom() - area.height() * _share(value, low, high),
            )
            for number, value in enumerate(self._changes)
        ]

    def _range(self) -> tuple[float, float]:
        positive = [value for value in self._changes if value > 0]
        if self._tolerance > 0:
            positive.append(self._tolerance)
        low, high = min(positive, default=0.1), max(positive, default=1.0)
        return low / 2, high * 2

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
        low, high = self._range()
        if self._tolerance > 0:
            height = area.height() * _share(self._tolerance, low, high)
            level = area.bottom() - height
            painter.setPen(QPen(faint, 1, Qt.PenStyle.DashLine))
            painter.drawLine(
                QPointF(area.left(), level), QPointF(area.right(), level)
            )
        painter.setPen(ink)
        caption = 'Change per iteration'
        if self._changes:
            caption += f': {self._changes[-1]:.2g} px'
        painter.drawText(
            QRectF(4, 0, self.width() - 8, text + 4),
            Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
            caption,
        )
        points = self._points(area)
        accent = palette.color(QPalette.ColorRole.WindowText)
        painter.setPen(QPen(accent, 1.6))
        if len(points) > 1:
            painter.drawPolyline(QPolygonF(points))
        painter.setBrush(accent)
        for point in points:
            painter.drawEllipse(point, 2.2, 2.2)
        painter.end()


def _share(value: float, low: float, high: float) -> float:
    """Height of a value on a logarithmic scale, from 0 to 1."""
    value = min(max(value, low), high)
    return math.log(value / low) / math.log(high / low)


class Picture(QWidget):
    """A small picture that keeps its proportions.

    Parameters
    ----------
    parent : QWidget, optional
        Qt parent.
    """

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
