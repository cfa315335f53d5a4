"""Loss and held-out error of a training as it goes on."""

from __future__ import annotations

from typing import Any

from napari_samnet.plugin.finetune.panel import FineTunePanel
from napari_samnet.training.runs import Progress

#: Steps over which the loss that is shown is averaged.
AVERAGED = 25
#: Most points of a curve.
POINTS = 500


class LearningCurves:
    """Draws the steps of one run after the other."""

    def __init__(self, panel: FineTunePanel) -> None:
        self._panel = panel
        self._stage = ''
        self._first = 0
        self._mean = 0.0

    def restart(self) -> None:
        """Forget the run before."""
        self._stage = ''
        for curve in (self._panel.loss, self._panel.error):
            curve.clear(0, 1)
        self._panel.view.setVisible(False)

    def on_report(self, report: Any) -> None:
        """Draw a step, if a report tells of one."""
        progress = getattr(report, 'progress', None)
        if progress is not None and progress.stage != 'pairs':
            self._draw(progress)

    def _draw(self, progress: Progress) -> None:
        panel = self._panel
        panel.view.setVisible(True)
        if progress.stage != self._stage:
            self._begin(progress)
        if progress.losses:
            loss = sum(progress.losses.values())
            steps = min(progress.step - self._first, AVERAGED)
            self._mean += (loss - self._mean) / max(1, steps)
            if progress.step % max(1, progress.total // POINTS) == 0:
                panel.loss.put(progress.step, self._mean)
        if progress.held_out is not None:
            panel.error.put(progress.step, progress.held_out)

    def _begin(self, progress: Progress) -> None:
        """Begin the curves of another stage."""
        self._stage = progress.stage
        self._first = progress.step - (1 if progress.losses else 0)
        before = progress.held_out
        self._panel.loss.clear(self._first, progress.total)
        self._panel.error.clear(self._first, progress.total, before or 0.0)
        self._panel.error.setVisible(before is not None)
