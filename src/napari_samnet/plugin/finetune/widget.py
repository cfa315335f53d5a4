"""The dock 'Fine-tune on my images', and its interface for scripts.

Examples
--------
In a running napari:

>>> _, tuning = viewer.window.add_plugin_dock_widget(
...     'napari-samnet', 'Fine-tune on my images'
... )  # doctest: +SKIP
>>> tuning.set_folder('sections')  # doctest: +SKIP
>>> tuning.set_name('sections')  # doctest: +SKIP
>>> trained = tuning.run(wait=True)  # doctest: +SKIP
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QWidget

from napari_samnet.errors import InputError, no_such
from napari_samnet.plugin.finetune.curves import LearningCurves
from napari_samnet.plugin.finetune.job import (
    FineTuned,
    FineTuneRequest,
    finetune_steps,
)
from napari_samnet.plugin.finetune.panel import LABELS, FineTunePanel
from napari_samnet.plugin.model.request import Outcome
from napari_samnet.plugin.run.tasks import Task
from napari_samnet.plugin.transfer.docks import Dock
from napari_samnet.plugin.transfer.sentences import sentence
from napari_samnet.plugin.transfer.status import FooterStatus
from napari_samnet.runtime.user_weights import check_own_name
from napari_samnet.runtime.weights import available_weights
from napari_samnet.training.estimate import Timetable, duration
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.process import Trained
from napari_samnet.training.runs import (
    discard_run,
    made_steps,
    own_run,
    read_options,
    unfinished_runs,
)


class FineTune(Dock):
    """Adapt the network to images of one's own."""

    panel: FineTunePanel

    def __init__(
        self, napari_viewer: Any, parent: QWidget | None = None
    ) -> None:
        super().__init__(napari_viewer, FineTunePanel(napari_viewer), parent)
        self._status = FooterStatus(
            self.panel.footer, self._tasks, self._reason
        )
        self._named = False
        #: The options of before, while those of an unfinished run are shown.
        self._mine: dict[str, Any] | None = None
        self._trained: Trained | None = None
        self._curves = LearningCurves(self.panel)
        self._fill_names()
        self._wire()
        self.refresh()

    def _wire(self) -> None:
        panel, tasks = self.panel, self._tasks
        panel.images.changed.connect(self._on_images)
        panel.name.editTextChanged.connect(self.refresh)
        panel.name.lineEdit().textEdited.connect(self._on_named)
        panel.name.activated.connect(self._on_named)
        panel.options.changed.connect(self.refresh)
        panel.reset.clicked.connect(panel.reset_fields)
        panel.over.clicked.connect(self.start_over)
        panel.use.clicked.connect(self.use)
        tasks.runner.reported.connect(self._curves.on_report)
        tasks.started.connect(self.refresh)
        tasks.idle.connect(self._on_idle)

    # For scripts.

    @property
    def name(self) -> str:
        """How the network will be called."""
        return str(self.panel.name.currentText()).strip()

    @property
    def options(self) -> TrainingOptions:
        """How it is trained.

        Raises InputError if the fields do not fit together.
        """
        values = self.panel.options.values
        # Crops are for the decoder alone; a smaller size means them too.
        values['crop'] = min(values['crop'], values['size'])
        options = TrainingOptions(**values)
        if not options.steps:
            raise InputError('choose how many steps to train')
        return options

    @property
    def trained(self) -> Trained | None:
        """What the last run has brought."""
        return self._trained

    def set_layers(self, *layers: Layer | str) -> None:
        """Learn from every plane of some layers, given by layer or name.

        Raises InputError if one is no image of the viewer.
        """
        known = self.viewer.layers
        for layer in layers:
            if isinstance(layer, str) and layer not in known:
                raise no_such(
                    'layer', [repr(layer)], [repr(x.name) for x in known]
                )
        self.panel.images.choose(
            known[x] if isinstance(x, str) else x for x in layers
        )

    def set_folder(self, path: str | Path) -> None:
        """Learn from the images of a folder and its subfolders.

        Raises InputError if there is no such folder, or there are too few
        images in it.
        """
        self.panel.images.choose_folder(Path(path))

    def set_name(self, name: str) -> None:
        """Choose how the network will be called.

        A run of that name that was stopped goes on, with its own options.
        """
        self._named = True
        self.panel.name.setEditText(name)

    def set_options(self, **options: Any) -> None:
        """Set some options of the training.

        ``**options``: values by the names of ``TrainingOptions``. Raises
        InputError if one is not known or not possible; nothing is set then.
        """
        if self._mine is not None:
            raise InputError(f'{self.name!r} goes on with its own options')
        self.panel.options.set(options)

    def run(
        self, *, wait: bool = False, timeout: float | None = None
    ) -> Trained | None:
        """Train, or go on.

        ``wait``: whether to return only when it is done, with the window
        alive.
        ``timeout``: seconds after which waiting ends; by default never.
        Returns: what it has brought, if waited for.
        Raises InputError if something is missing, or the process that trains
        fails.
        Raises TimeoutError if it takes too long. The run goes on.
        """
        reason = self.reason
        if reason:
            raise InputError(reason)
        request = FineTuneRequest(
            self.panel.images.source(), self.name, self.options
        )
        self._trained = None
        self._curves.restart()
        self.panel.use.setVisible(False)
        self._tasks.add(
            Task(
                'Fine-tuning',
                partial(finetune_steps, request),
                self._show,
            )
        )
        return self.wait(timeout) if wait else None

    def wait(self, timeout: float | None = None) -> Trained | None:
        """Wait until nothing runs; see :meth:`run`."""
        self._tasks.wait(timeout)
        return self._trained

    def start_over(self) -> None:
        """Forget the unfinished run of the current name."""
        if not self.running:
            discard_run(own_run(self.name))
            self._fill_names()
            self.refresh()

    def use(self) -> None:
        """Choose the new weights in the dock 'Semantic transfer'."""
        if self._trained is None or not self._trained.weights:
            raise InputError('nothing was saved yet')
        from napari_samnet.plugin.transfer.docks import open_dock

        transfer = open_dock(self.viewer)
        transfer.set_options(weights=Path(self._trained.weights).stem)

    # Inner workings.

    def refresh(self, *_: Any) -> None:
        """Bring the panel up to date with viewer, fields and runs."""
        panel, busy = self.panel, self.running
        if not busy:
            self._follow_run()
        for part in (panel.images, panel.name, panel.over):
            part.setEnabled(not busy)
        panel.options_box.setEnabled(not busy)
        panel.estimate.setText(self._estimate())
        self._status.show()

    def _reason(self) -> str:
        try:
            if not self._listening:
                self.panel.images.refresh_quietly()
            self.panel.images.source()
            check_own_name(self.name)
            if self._mine is None and self.name in available_weights():
                raise InputError(
                    f'There are weights {self.name!r} already: choose '
                    f'another name'
                )
            _ = self.options
        except InputError as error:
            text = str(error)
            if text.startswith('name must'):
                text = text.replace('name must', 'The name must', 1)
            return sentence(text, LABELS)
        return ''

    def _estimate(self) -> str:
        """How long it will take, if that can be said."""
        try:
            options = self.options
            count = self.panel.images.source().count
        except InputError:
            return ''
        table = Timetable(options, self._made(), images=count)
        time = duration(table.seconds)
        return f'Takes {time} on a laptop, less on a graphics card'

    def _made(self) -> dict[str, int]:
        return {} if self._mine is None else made_steps(own_run(self.name))

    def _follow_run(self) -> None:
        """Show the options of an unfinished run, or the user's own again."""
        folder = own_run(self.name)
        try:
            check_own_name(self.name)
            options = read_options(folder)
        except InputError:
            options = None
        shown = self.panel.options
        with QSignalBlocker(shown):
            if options is not None:
                if self._mine is None:
                    self._mine = shown.values
                shown.show({key: getattr(options, key) for key in shown})
                made = sum(made_steps(folder).values())
                total = sum(options.steps.values())
                text = f'Stopped at step {made} of {total}'
                self.panel.show_unfinished(text)
            elif self._mine is not None:
                shown.show(self._mine)
                self._mine = None
                self.panel.show_unfinished('')

    def _fill_names(self) -> None:
        """Offer the runs that can go on, and a name that is free."""
        combo = self.panel.name
        kept = self.name
        self._runs = unfinished_runs()
        with QSignalBlocker(combo):
            combo.clear()
            combo.addItems(self._runs)
            combo.setEditText(kept or self._free_name())

    def _free_name(self) -> str:
        """A name after the images that nothing has yet."""
        wanted = self.panel.images.suggestion
        base = re.sub(r'[^\w.-]+', '-', wanted).strip('-._')[:50]
        base = base or 'my-images'
        taken = {name.lower() for name in (*available_weights(), *self._runs)}
        name, number = base, 2
        while name.lower() in taken:
            name, number = f'{base}-{number}', number + 1
        return name

    def _on_named(self, *_: Any) -> None:
        self._named = True

    def _on_layers(self, event: Any = None) -> None:  # noqa: ARG002
        self.panel.images.refresh()

    def _on_images(self) -> None:
        if not self._named and not self.running:
            self.panel.name.setEditText(self._free_name())
        self.refresh()

    def _show(self, outcome: Outcome) -> Iterator[Any]:
        """Take note of what a run has brought."""
        assert isinstance(outcome, FineTuned)
        self._trained = outcome.trained
        saved = outcome.trained is not None and bool(outcome.trained.weights)
        inside = getattr(self.viewer, 'window', None) is not None
        self.panel.use.setVisible(saved and inside)
        yield

    def _on_idle(self) -> None:
        self._fill_names()
        if self._trained is not None and self._trained.finished:
            # The next one is another network.
            self._named = False
            self.panel.name.setEditText(self._free_name())
        self.refresh()
