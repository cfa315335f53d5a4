"""The footer: buttons, bar, the line below, and how a run is getting on."""

from __future__ import annotations

from collections.abc import Callable

from napari.utils.notifications import show_error, show_info

from napari_samnet.parameters import MatchOptions
from napari_samnet.plugin.inputs import sentence
from napari_samnet.plugin.panel import Panel
from napari_samnet.plugin.request import Outcome, Report
from napari_samnet.plugin.tasks import Task, TaskQueue
from napari_samnet.plugin.worker import Failure

__all__ = ['Status']


class Status:
    """Keeps the footer true to what is going on.

    Parameters
    ----------
    panel : Panel
        Whose footer.
    tasks : TaskQueue
        What is going on.
    reason : callable
        Why nothing can run, in one line; empty if it can.
    """

    def __init__(
        self, panel: Panel, tasks: TaskQueue, reason: Callable[[], str]
    ) -> None:
        self._panel = panel
        self._tasks = tasks
        self._reason = reason
        self._text = ''
        self._options: MatchOptions | None = None
        tasks.started.connect(self._on_started)
        tasks.succeeded.connect(self._on_succeeded)
        tasks.failed.connect(self._on_failed)
        tasks.idle.connect(self.show)
        tasks.runner.reported.connect(self._on_reported)

    def expect(self, options: MatchOptions) -> None:
        """Take the options of the run to come, for its plot."""
        self._options = options

    def say(self, text: str) -> None:
        """Show a line until something else happens."""
        self._text = text
        self.show()

    def show(self) -> None:
        """Bring buttons, bar and line up to date."""
        panel, busy = self._panel, self._tasks.busy
        reason = '' if busy else self._reason()
        cancelling = self._tasks.runner.cancelling
        panel.run.setEnabled(not busy and not reason)
        panel.cancel.setEnabled(busy and not cancelling)
        panel.cancel.setText('Cancelling…' if cancelling else 'Cancel')
        panel.bar.setVisible(busy)
        panel.message.setText(reason or self._text)

    def _on_started(self, task: Task) -> None:
        if not task.quiet:
            self._text = f'{task.title}…'
        self._panel.bar.setRange(0, 0)
        self.show()

    def _on_reported(self, report: Report) -> None:
        panel = self._panel
        panel.bar.setRange(0, report.total)
        panel.bar.setValue(report.index)
        if report.first and self._options is not None:
            panel.plot.restart(
                self._options.iterations, self._options.tolerance
            )
            panel.view.setVisible(True)
        if report.change is not None:
            panel.plot.add(report.change)
        if report.picture is not None:
            panel.picture.show_array(report.picture)
        if not self._tasks.runner.cancelling:
            self._text = report.text[:1].upper() + report.text[1:]
            panel.message.setText(self._text)

    def _on_succeeded(self, task: Task, outcome: Outcome) -> None:
        self._text = '' if task.quiet else outcome.text
        if not task.quiet and not self._panel.isVisible():
            # Nobody sees the line of a dock that was closed meanwhile.
            show_info(outcome.text)

    def _on_failed(self, task: Task, failure: Failure) -> None:  # noqa: ARG002
        self._text = sentence(failure.message)
        if not self._tasks.watched:
            show_error(self._text)
