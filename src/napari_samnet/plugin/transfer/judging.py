"""What helps to judge a match: preview and confidence."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from qtpy.QtCore import QSignalBlocker, QTimer

from napari_samnet.arrays.checks import check_share
from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.ask import Asked
from napari_samnet.plugin.layers.confidence import threshold_steps
from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.layers.preview import MODES, start_preview
from napari_samnet.plugin.model.request import Outcome
from napari_samnet.plugin.run.tasks import Task
from napari_samnet.plugin.transfer.control import Control, DockParts

#: A slider acts when it has rested for this many milliseconds.
REST = 150


class ResultInspection(Control):
    """Connects the controls for judging a match.

    ``current``: gives the match of the planes shown, or None.
    """

    def __init__(
        self, dock: DockParts, current: Callable[[], Asked | None]
    ) -> None:
        super().__init__(dock)
        self._current = current
        panel = dock.panel
        self._warped_layer: Any = None
        self._sure_timer = self._timer(self._apply_sure)
        self._mix_timer = self._timer(self._apply_mix)
        # Hides labels in steps, between which the window can breathe.
        self._hiding: Generator[None, None, int] | None = None
        self._breath = QTimer(panel, singleShot=True, interval=0)
        self._breath.timeout.connect(self._hide_more)
        panel.confidence_slider.valueChanged.connect(self._on_confidence)
        panel.amount.valueChanged.connect(self._mix_timer.start)
        panel.preview.activated.connect(self._on_preview)
        # A step of undo holds what one action wrote, in the order of actions.
        self._tasks.showing.connect(self.finish)

    def _timer(self, callback: Callable[[], None]) -> QTimer:
        timer = QTimer(self._panel, singleShot=True, interval=REST)
        timer.timeout.connect(callback)
        return timer

    @property
    def mode(self) -> str:
        """How the warped target is shown."""
        return list(MODES)[self._panel.preview.currentIndex()]

    def preview(self, mode: str, amount: float) -> None:
        """Show the warped target over the source; see the widget."""
        if mode not in MODES:
            raise InputError(
                f'preview must be one of {", ".join(MODES)}, got {mode!r}'
            )
        check_share('amount', amount)
        if mode != 'off' and self._current() is None:
            raise InputError('nothing to preview: match these planes first')
        self._panel.preview.setCurrentIndex(list(MODES).index(mode))
        self._panel.amount.setValue(round(100 * amount))
        self._mix_timer.stop()
        self._show_preview()

    def set_min_confidence(self, value: float) -> None:
        """Hide warped labels below a confidence; see the widget."""
        check_share('confidence', value)
        self._panel.confidence_slider.setValue(round(100 * value))
        # Also where the slider says so already.
        self._sure_timer.start()
        self.finish()

    def finish(self) -> None:
        """Hide what is still to be hidden, before others write labels.

        A slider that has not yet rested was moved before them, too.
        """
        self._hide_all()
        if self._sure_timer.isActive():
            self._sure_timer.stop()
            self._apply_sure()
            self._hide_all()

    def _hide_all(self) -> None:
        """Hide at once what was to be hidden in steps."""
        while self._hiding is not None:
            self._hide_more()
        self._breath.stop()

    def threshold_for(self, pair: tuple[Any, ...]) -> float:
        """Confidence below which new labels of a pair are hidden.

        Returns: what the slider says, unless it was set for another pair.
        """
        layer = self._warped_layer
        if layer is not None:
            warped = self._results.warped_of(layer)
            if warped is not None and warped.pair != pair:
                return 0.0
        return float(self._panel.confidence_slider.value() / 100)

    def pair_changed(self) -> None:
        """Begin without a threshold: it was set for another pair."""
        self.finish()
        self._warped_layer = None
        self._show_threshold(0.0)

    def _show_threshold(self, threshold: float) -> None:
        """Move the slider without acting on any labels."""
        slider = self._panel.confidence_slider
        with QSignalBlocker(slider):
            slider.setValue(round(100 * threshold))
        self._sure_timer.stop()
        self._panel.confidence_text.setText(f'{slider.value()} %')

    def results_changed(self, layers: Sequence[Any]) -> None:
        """Act on new results."""
        for layer in layers:
            warped = self._results.warped_of(layer)
            if warped is not None:
                self._warped_layer = layer
                self._show_threshold(warped.threshold)
        if self.mode != 'off' and not any(
            self._is_preview(layer) for layer in layers
        ):
            self._show_preview()

    def follow_selection(self) -> None:
        """Let the slider show the selected warped layer."""
        active = self._viewer.layers.selection.active
        warped = None if active is None else self._results.warped_of(active)
        if warped is not None:
            # The slider was moved for the one before.
            self.finish()
            self._warped_layer = active
            self._show_threshold(warped.threshold)

    def _on_confidence(self, value: int) -> None:
        self._panel.confidence_text.setText(f'{value} %')
        self._sure_timer.start()

    def _apply_sure(self) -> None:
        if self._hiding is not None:
            # Not before the last move of the slider is done with.
            self._sure_timer.start()
            return
        layer = self._warped_layer
        if layer is None or layer not in self._viewer.layers:
            return
        warped = self._results.warped_of(layer)
        if warped is not None:
            threshold = self._panel.confidence_slider.value() / 100
            self._hiding = threshold_steps(layer, warped, threshold)
            self._hide_more()

    def _hide_more(self) -> None:
        """Hide or show some more labels."""
        if self._hiding is None:
            return
        try:
            next(self._hiding)
        except StopIteration:
            self._hiding = None
        else:
            self._breath.start()

    def _on_preview(self, index: int) -> None:  # noqa: ARG002
        if self.mode != 'off' and self._current() is None:
            self._panel.preview.setCurrentIndex(0)
            self._status.say('Nothing to preview: match these planes first')
            return
        self._show_preview()

    def _apply_mix(self) -> None:
        if self.mode == 'blend':
            layer = self._preview_layer()
            if layer is not None:
                layer.opacity = self._panel.amount.value() / 100
        elif self.mode == 'checkerboard':
            self._show_preview()

    def _show_preview(self) -> None:
        mode = self.mode
        current = self._current()
        if mode == 'off' or current is None:
            layer = self._preview_layer()
            if layer is not None:
                self._viewer.layers.remove(layer)
            return
        amount = self._panel.amount.value() / 100
        self._tasks.add(
            Task(
                'Warp preview',
                start_preview(*current, mode, amount),
                self._put_preview,
                quiet=True,
            )
        )

    def _put_preview(self, outcome: Outcome) -> Iterator[Any]:
        for product in outcome.products:
            for layer in self._results.show([product]):
                layer.opacity = product.keywords['opacity']
                yield layer

    def _preview_layer(self) -> Any:
        for layer in self._viewer.layers:
            if self._is_preview(layer):
                return layer
        return None

    @staticmethod
    def _is_preview(layer: Any) -> bool:
        about = about_layer(layer)
        ours = about.get('layer') == layer.unique_id
        return bool(ours and about.get('role') == 'preview')
