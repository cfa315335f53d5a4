"""Measure how long napari's window stands still while the plugin works.

Needs a display with OpenGL, such as Xvfb, and a quiet machine::

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/measure_gui.py

A timer ticks every 5 ms in the event loop; a gap is the time from one tick
to the next, during which the window answers to nothing. For each action of a
user the longest gap is printed, how many are longer than 50 ms, and in whose
code the main thread was in the longest: ours, napari's, or Qt's, where it
also waits for Python's lock. What napari needs by itself, to add and to
change layers like those of a run, is measured in the same window without the
plugin. With ``--trace`` the lines are printed that ran in the longest gaps.

Gaps grow with what else the processor has to do: the last line says how many
cores other processes took meanwhile.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

# The preferences of whoever runs this are neither used nor changed.
os.environ['NAPARI_CONFIG'] = str(Path(tempfile.mkdtemp()) / 'settings.yaml')

import napari
import numpy as np
import psutil
from event_loop import AIM, QT, Watch
from napari.layers import Layer
from napari.utils import progress
from qtpy.QtWidgets import QApplication

from napari_samnet.plugin.contributions.sample_data import sample_layers
from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.transfer.docks import open_dock

WINDOW = (1440, 900)

#: Side of a large image, and of large labels.
LARGE, LARGE_LABELS = 4096, 2048

#: Planes of a film.
FRAMES = 60


class Measuring:
    """Actions in one window, and the gaps of each."""

    def __init__(self, *, trace: bool) -> None:
        self._trace = trace
        self.viewer = napari.Viewer(show=False)
        self.viewer.show()
        self.viewer.window._qt_window.resize(*WINDOW)
        self.widget: Any = None
        self.live(0.5)
        head = ('longest, ms', f'over {AIM:g}', 'plugin', 'napari', QT)
        tell(f'| action | {" | ".join(head)} |')
        tell('|---|' + '---|' * len(head))

    def live(self, seconds: float = 0.5) -> None:
        """Let the window live for a while."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            QApplication.processEvents()
            time.sleep(0.0005)

    def do(self, name: str, action: Callable[[], Any]) -> float:
        """Do something on the main thread, and print its gaps.

        Returns: its longest gap.
        """
        watch = Watch()
        self.live(0.1)
        action()
        self.live()
        watch.stop()
        self._tell(name, watch)
        return watch.longest.length

    def run(self, name: str, start: Callable[[], Any]) -> float:
        """Start something, and watch until its results are shown.

        Computing and showing are printed apart. Returns: seconds of both.
        """
        runner = self.widget._tasks.runner
        watches = [Watch()]

        def on_returned(_: Any) -> None:
            watches[-1].stop()
            watches.append(Watch())

        runner.returned.connect(on_returned)
        began = time.perf_counter()
        try:
            start()
            while self.widget.running:
                self.live(0.001)
            took = time.perf_counter() - began
            self.live()
        finally:
            watches[-1].stop()
            runner.returned.disconnect(on_returned)
        texts = ['computes', 'shows its layers']
        for text, watch in zip(texts, watches, strict=False):
            self._tell(f'{name} {text}', watch)
        tell(f'{name}: {took:.2f} s, {self.widget.message}')
        return took

    def _tell(self, name: str, watch: Watch) -> None:
        gap = watch.longest
        owners = [gap.share(owner) for owner in ('plugin', 'napari', QT)]
        numbers = [gap.length, watch.too_long, *owners]
        cells = ' | '.join(f'{number:.0f}' for number in numbers)
        tell(f'| {name} | {cells} |')
        if not self._trace:
            return
        for one in sorted(watch.gaps, key=lambda x: -x.length)[:3]:
            if one.length <= AIM:
                break
            tell(f'--- {one.length:.0f} ms, {dict(one.owners)}')
            for lines, count in one.lines.most_common(6):
                tell(f'  {count} times\n{lines}')

    # What is measured.

    def small(self) -> None:
        """A sample pair: dock, first run, later runs, choosers, drops."""
        viewer = self.viewer
        self.do('napari adds its first layers', partial(self.open, 'coffee'))
        self.do('the dock opens', self.open_dock)
        self.do('napari shows its first progress bar', self.first_bar)
        self.widget.set_outputs('flow', 'labels', 'transferred', 'confidence')
        self.run('the first run', self.widget.panel.run.click)
        rows = viewer.layers['coffee'].data.shape[0]
        points = np.random.default_rng(0).uniform(0, rows, (200, 2))
        viewer.add_points(points, name='points')
        self.live()
        for number in (2, 3):
            self.widget._cache.clear()
            self.run(f'run {number}', self.widget.panel.run.click)
        drop = partial(self.widget.panel.drop.layers_dropped.emit)
        self.run(
            'points dropped',
            lambda: drop([viewer.layers['points']]),
        )
        self.run(
            'labels dropped',
            lambda: drop([viewer.layers['coffee labels']]),
        )
        self.do(
            'another target is chosen',
            partial(self.choose, 'target', 'coffee like other coffee'),
        )
        self.do(
            'the target is chosen again',
            partial(self.choose, 'target', 'other coffee'),
        )
        self.do('source and target are swapped', self.widget.panel.swap.click)
        self.do('and back', self.widget.panel.swap.click)
        slider = self.widget.panel.confidence_slider
        self.do('unsure labels are hidden', partial(self.hide, slider))
        self.do('click to ask', partial(self.ask, True))
        self.do('no longer', partial(self.ask, False))
        self.cancel()
        self.do('the dock to fine-tune opens', self.open_finetune)
        self.alone('small')

    def film(self) -> None:
        """Labels are propagated through a film."""
        source = sample_layers('coffee')[0][0]
        labels = sample_layers('coffee')[1][0]
        rolled = [np.roll(source, 3 * n, 1) for n in range(FRAMES)]
        self.viewer.add_image(np.stack(rolled), rgb=True, name='film')
        drawn = np.zeros((FRAMES, *labels.shape), np.int32)
        drawn[0] = labels
        self.viewer.add_labels(drawn, name='drawn')
        self.viewer.dims.set_point(0, 0)
        self.live()
        self.do('the dock opens on a film', self.open_dock)
        self.widget.set_planes('propagate')
        self.widget.set_labels('drawn')
        self.live()
        self.run('propagation', self.widget.panel.run.click)
        self.run('propagation again', self.widget.panel.run.click)
        self.do(
            'the next frame', partial(self.viewer.dims.set_current_step, 0, 5)
        )
        self.run('go on from here', self.widget.panel.go_on.click)
        self.alone('film')

    def large(self) -> None:
        """Large images and labels."""
        one = sample_layers('coffee')[0][0]
        reps = -(-LARGE // one.shape[0]), -(-LARGE // one.shape[1]), 1
        image = np.tile(one, reps)[:LARGE, :LARGE].copy()
        other = np.roll(image, (40, 60), (0, 1))
        side = np.arange(LARGE_LABELS) // 64
        mask = (side[:, None] * 100 + side + 1).astype(np.int32)
        whole = np.repeat(np.repeat(mask, 2, 0), 2, 1)
        viewer = self.viewer
        self.do(
            'napari adds a large image',
            partial(viewer.add_image, image, name='big'),
        )
        self.do(
            'napari adds another',
            partial(viewer.add_image, other, name='big 2'),
        )
        self.do(
            'napari adds large labels',
            partial(viewer.add_labels, whole, name='big labels'),
        )
        self.do('the dock opens on large images', self.open_dock)
        self.widget.set_outputs('flow', 'labels', 'transferred', 'confidence')
        self.run('a large run', self.widget.panel.run.click)
        self.widget._cache.clear()
        self.run('a large run again', self.widget.panel.run.click)
        small = viewer.add_labels(mask, name='mask', scale=(2, 2))
        self.live()
        self.run(
            'a large mask dropped',
            lambda: self.widget.panel.drop.layers_dropped.emit([small]),
        )
        path = Path(tempfile.mkdtemp()) / 'file.tif'
        viewer.layers['big labels'].save(str(path))
        self.run(
            'a large file dropped',
            lambda: self.widget.panel.drop.files_dropped.emit([str(path)]),
        )
        slider = self.widget.panel.confidence_slider
        self.do('unsure labels are hidden', partial(self.hide, slider))
        self.do(
            'another target is chosen',
            partial(self.choose, 'target', 'big like big 2'),
        )
        self.alone('large')

    # Parts of it.

    def open(self, name: str) -> None:
        """Add a sample pair."""
        for data in sample_layers(name):
            self.viewer.add_layer(Layer.create(*data))
        self.viewer.reset_view()

    def open_dock(self) -> None:
        """Open the dock."""
        self.widget = open_dock(self.viewer)

    def open_finetune(self) -> None:
        """Open the dock to fine-tune."""
        self.viewer.window.add_plugin_dock_widget(
            'napari-samnet', 'Fine-tune on my images'
        )

    def first_bar(self) -> None:
        """Show a progress bar; for the first one the status bar grows."""
        with progress(total=0):
            self.live(0.2)

    def choose(self, side: str, name: str) -> None:
        """Choose an image as a user does, in a combo box."""
        combo = getattr(self.widget.panel, side)
        index = combo.findText(name)
        if index < 0:
            raise LookupError(f'no {name!r} in {side}')
        combo.setCurrentIndex(index)
        combo.activated.emit(index)

    def ask(self, on: bool) -> None:
        """Begin or end asking by clicks."""
        self.widget.panel.asking.setChecked(on)
        self.live(1.0)

    def hide(self, slider: Any) -> None:
        """Move the slider of unsure labels, and wait for what it does."""
        slider.setValue(60)
        self.live(4.0)

    def cancel(self) -> None:
        """Cancel a run after its first report."""
        self.widget._cache.clear()
        self.widget.set_options(tolerance=0.0)

        def start() -> None:
            self.widget.run()
            self.live(0.15)
            self.widget.panel.cancel.click()

        self.run('a canceled run', start)

    def alone(self, name: str) -> None:
        """Let napari add and change the same layers without the dock."""
        viewer = self.viewer
        made = [x for x in viewer.layers if about_layer(x).get('key')]
        viewer.window.remove_dock_widget(self.widget.parent())
        self.widget = None
        for layer in made:
            viewer.layers.remove(layer)
        self.live()
        for layer in made:
            data, keywords, kind = layer.as_layer_data_tuple()
            text = f'napari alone, {name}: {kind} {layer.name!r}'
            make = partial(Layer.create, data, keywords, kind)
            copies: list[Any] = []

            def add(make: Any = make, copies: Any = copies) -> None:
                copies.append(make())
                viewer.layers.append(copies[0])

            self.do(f'{text} added', add)
            (copy,) = copies
            changed = data if isinstance(data, list) else np.array(data)
            self.do(
                f'{text} changed',
                partial(setattr, copy, 'data', changed),
            )


@contextmanager
def others_told() -> Iterator[None]:
    """Tell how many cores other processes took meanwhile."""

    def busy() -> tuple[float, float]:
        all_ = psutil.cpu_times()
        used = all_.user + all_.nice + all_.system
        own = psutil.Process().cpu_times()
        return used - own.user - own.system, time.monotonic()

    before = busy()
    yield
    others, clock = np.subtract(busy(), before)
    tell(f'cores that other processes took: {others / clock:.2f}')


def tell(line: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


def main() -> None:
    """Measure, and print what was found, one result after the other."""
    parts = ('small', 'film', 'large')
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'part', nargs='?', choices=parts, default='small', help='what is open'
    )
    parser.add_argument('--trace', action='store_true')
    arguments = parser.parse_args()
    measuring = Measuring(trace=arguments.trace)
    with others_told():
        getattr(measuring, arguments.part)()
    measuring.viewer.close()


if __name__ == '__main__':
    main()
