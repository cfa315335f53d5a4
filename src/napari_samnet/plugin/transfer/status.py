"""The footer: buttons, bar, the line below, and how a run is getting on."""

from __future__ import annotations

from collections.abc import Callable

from napari.utils.notifications import show_error, show_info

from napari_samnet.errors import InputError
from napari_samnet.options import MatchOptions
from napari_samnet.plugin.model.remedies import Remedy, remedies_of
from napari_samnet.plugin.model.request import Outcome, Report
from napari_samnet.plugin.run.tasks import Task, TaskQueue
from napari_samnet.plugin.run.worker import Failure
from napari_samnet.plugin.transfer.panel import Panel
from napari_samnet.plugin.transfer.sentences import sentence
from napari_samnet.plugin.widgets.parts import Footer

#: What can be done with a result where no labels are chosen.
TO_GO_ON = (
    'Correct a plane of the result and go on from here, or choose labels to '
    'propagate anew'
)


class FooterStatus:
    """Keeps a footer true to what is going on.

    ``reason``: why nothing can run, in one line; empty if it can.
    """

    def __init__(
        self, footer: Footer, tasks: TaskQueue, reason: Callable[[], str]
    ) -> None:
        self._footer = footer
        self._tasks = tasks
        self._reason = reason
        self._text = self._before = ''
        self._notes: list[str] = []
        tasks.started.connect(self._on_started)
        tasks.succeeded.connect(self._on_succeeded)
        tasks.failed.connect(self._on_failed)
        tasks.idle.connect(self.show)
        tasks.runner.reported.connect(self._on_reported)

    def say(self, text: str) -> None:
        """Show a line until something else happens."""
        self._text = text
        self.show()

    def note(self, text: str) -> None:
        """Add a sentence to what the run under way will say at its end."""
        self._notes.append(sentence(text, {}))

    def show(self) -> None:
        """Bring buttons, bar and line up to date."""
        footer, busy = self._footer, self._tasks.busy
        reason = '' if busy else self._reason()
        canceling = self._tasks.runner.canceling
        footer.run.setEnabled(not busy and not reason)
        footer.cancel.setEnabled(busy and not canceling)
        footer.cancel.setText('Cancelling…' if canceling else 'Cancel')
        footer.bar.setVisible(busy)
        footer.message.setText(self._line(reason))

    def _line(self, reason: str) -> str:
        """What is said while nothing runs; ``reason``: why nothing can."""
        return reason or self._text

    def _on_started(self, task: Task) -> None:
        self._before = self._text
        if not task.quiet:
            self._text = f'{task.title}…'
        self._footer.bar.setRange(0, 0)
        self.show()

    def _on_reported(self, report: Report) -> None:
        self._footer.show_steps(report.index, report.total)
        if report.stopped or not self._tasks.runner.canceling:
            self._text = report.text[:1].upper() + report.text[1:]
            self._footer.message.setText(self._text)

    def _on_succeeded(self, task: Task, outcome: Outcome) -> None:
        notes, self._notes = self._notes, []
        # A quiet task leaves the line as it was before.
        text = outcome.text
        if not task.is_shown():
            text = f'{task.pair}: {text}'
        said = '. '.join(part for part in (text, *notes) if part)
        self._text = self._before if task.quiet else said
        if not task.quiet and not self._footer.isVisible():
            # Nobody sees the line of a dock that was closed meanwhile.
            show_info(self._text)

    def _on_failed(self, task: Task, failure: Failure) -> None:  # noqa: ARG002
        self._notes.clear()
        self._text = sentence(failure.message)
        if not self._tasks.watched:
            show_error(self._text)


class Status(FooterStatus):
    """Keeps the footer of a panel true, and its picture and plot.

    ``refusal``: why nothing can run, as an error; None if it can.
    """

    def __init__(
        self,
        panel: Panel,
        tasks: TaskQueue,
        refusal: Callable[[], InputError | None],
    ) -> None:
        super().__init__(panel.footer, tasks, self._why_not)
        self._panel = panel
        self._refusal = refusal
        #: What stands in the way of a run, and what was refused last.
        self._in_the_way: InputError | None = None
        self._refused: InputError | None = None
        #: What helps to see what a run added.
        self._suggested: Remedy | None = None
        self._options: MatchOptions | None = None
        tasks.idle.connect(self._on_idle)

    def _why_not(self) -> str:
        error = self._in_the_way = self._refusal()
        return '' if error is None else sentence(str(error))

    def say(self, text: str) -> None:
        """Show a line until something else happens."""
        self._refused = self._suggested = None
        super().say(text)

    def _line(self, reason: str) -> str:
        """Why nothing can run, unless labels alone are missing.

        Points were carried without them, and results are gone on from.
        """
        panel = self._panel
        if reason and panel.propagating and panel.labels.layer is None:
            return self._text or (TO_GO_ON if panel.series_offered else reason)
        return super()._line(reason)

    def suggest(self, remedy: Remedy | None) -> None:
        """Offer a next step below the line, until something else happens."""
        self._suggested = remedy
        self.show()

    def refuse(self, error: InputError) -> None:
        """Say why something cannot be, with a button where one helps."""
        self._text = sentence(str(error))
        self._refused, self._suggested = error, None
        self.show()

    def attempt(self, action: Callable[[], object]) -> None:
        """Do something, and say what is wrong instead of raising it.

        ``action``: what a button or a menu does.
        """
        try:
            action()
        except InputError as error:
            self.refuse(error)

    def show(self) -> None:
        """Bring buttons, bar and line up to date."""
        super().show()
        error = self._in_the_way or self._refused
        remedies = [] if error is None else remedies_of([error])
        if error is None and self._suggested is not None:
            remedies = [self._suggested]
        self._footer.remedy.offer([] if self._tasks.busy else remedies)

    def _on_idle(self) -> None:
        self._panel.watch(False)

    def clear(self) -> None:
        """Take away what tells of the last run, if none is under way."""
        if not self._tasks.busy:
            self._panel.view.setVisible(False)
            self._footer.verdict.clear()
            self.say('')

    def _on_started(self, task: Task) -> None:
        self._refused = self._suggested = None
        # A run that recalls a match reports no steps: nothing old may stay.
        if not task.quiet:
            self._panel.view.setVisible(False)
            self._footer.verdict.clear()
        super()._on_started(task)

    def _on_succeeded(self, task: Task, outcome: Outcome) -> None:
        super()._on_succeeded(task, outcome)
        verdict = outcome.verdict
        if not task.is_shown():
            # What is on the screen was not judged.
            self._panel.view.setVisible(False)
        elif verdict is not None and not task.quiet:
            self._footer.verdict.show_verdict(
                verdict.text,
                verdict.color,
                places=bool(verdict.places) or bool(outcome.worst_planes),
            )

    def expect(self, options: MatchOptions) -> None:
        """Take the options of the run to come, for its plot."""
        self._options = options

    def _on_reported(self, report: Report) -> None:
        super()._on_reported(report)
        panel = self._panel
        if report.first and self._options is not None:
            panel.plot.restart(
                self._options.iterations, self._options.tolerance
            )
        if report.change is not None:
            # Steps of a propagation have no curve, and show no empty one.
            panel.watch(True)
            panel.plot.add(report.change)
        if report.picture is not None:
            panel.picture.show_array(report.picture)
