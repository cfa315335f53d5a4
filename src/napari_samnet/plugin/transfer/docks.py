"""What both docks have in common: a panel, tasks, and following the viewer."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_samnet.plugin.run.tasks import TaskQueue
from napari_samnet.plugin.transfer.status import FooterStatus


class Dock(QWidget):
    """A panel with a footer, whose button runs something in the background."""

    #: What is shown, with a `footer`.
    panel: Any
    _status: FooterStatus

    def __init__(
        self, napari_viewer: Any, panel: QWidget, parent: QWidget | None
    ) -> None:
        super().__init__(parent)
        # It scrolls: all the height there is can be used.
        self.setSizePolicy(
            QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding
        )
        self.viewer = napari_viewer
        self.panel = panel
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(panel)
        self._tasks = TaskQueue(self)
        self._listening = False
        footer = self.panel.footer
        footer.run.clicked.connect(self._on_run)
        footer.cancel.clicked.connect(self.cancel)
        footer.add_shortcut(self, self._on_run)

    @property
    def reason(self) -> str:
        """Why a run is not possible, in one line; empty if it is."""
        return self._reason()

    @property
    def message(self) -> str:
        """The line below the buttons."""
        return str(self.panel.footer.message.text())

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._tasks.busy

    def run(
        self, *, wait: bool = False, timeout: float | None = None
    ) -> object:
        """Do what the button does."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Stop after the current step and keep what is done."""
        self._tasks.cancel()
        self._status.show()

    def showEvent(self, event: Any) -> None:
        """Follow the viewer while the dock is on screen."""
        super().showEvent(event)
        if not self._listening:
            self._listening = True
            for emitter, callback in self._events():
                emitter.connect(callback)
            self._on_layers()

    def hideEvent(self, event: Any) -> None:
        """Stop following: the dock's x hides it, and nothing else tells."""
        super().hideEvent(event)
        if self._listening:
            self._listening = False
            for emitter, callback in self._events():
                emitter.disconnect(callback)

    def _events(self) -> list[tuple[Any, Any]]:
        """What is followed, and what is done then."""
        layers = self.viewer.layers.events
        return [
            (layers.inserted, self._on_layers),
            (layers.removed, self._on_layers),
            (layers.reordered, self._on_layers),
            (layers.renamed, self._on_layers),
        ]

    def _on_layers(self, event: Any = None) -> None:
        raise NotImplementedError

    def _reason(self) -> str:
        raise NotImplementedError

    def _on_run(self) -> None:
        if not self.running and not self.reason:
            self.run()


def open_dock(viewer: Any) -> Any:
    """Open the dock, or find it, and bring it to the front.

    ``viewer`` (napari.Viewer): where it is opened or run.
    """
    frame, widget = viewer.window.add_plugin_dock_widget(
        'napari-samnet', 'Semantic transfer'
    )
    frame.show()
    frame.raise_()
    return widget
