"""Take the pictures of the documentation, so that they are never stale.

Needs a display with OpenGL, such as Xvfb::

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py

Every state of the dock is taken in the dark and the light theme.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The preferences of whoever runs this are neither shown nor changed.
os.environ['NAPARI_CONFIG'] = str(Path(tempfile.mkdtemp()) / 'settings.yaml')

import napari
import numpy as np
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_samnet.plugin.contributions.sample_data import sample_layers
from napari_samnet.plugin.transfer.docks import open_dock

WINDOW = (1180, 760)

#: Colors of a picture; more make the files larger and look the same.
COLORS = 256

STATES = (
    'empty',
    'ready',
    'running',
    'done',
    'error',
    'judging',
    'stack',
    'refusal',
    'region',
    'references',
    'landmarks',
)


def settle(until: Callable[[], bool] = lambda: True) -> None:
    """Let the window catch up, and wait for something."""
    deadline = time.monotonic() + 600
    rounds = 0
    while rounds < 20 or not until():
        QApplication.processEvents()
        rounds += 1
        if time.monotonic() > deadline:
            raise TimeoutError('the window did not get there')


def open_pair(viewer: Any, name: str) -> None:
    """Add a sample pair."""
    for data in sample_layers(name):
        viewer.add_layer(napari.layers.Layer.create(*data))


def open_stack(viewer: Any) -> None:
    """Add a series of sections, one of which is annotated."""
    from napari_samnet.datasets.real_pairs import brain_series

    sections, labels, _ = brain_series()
    viewer.add_image(sections, name='sections', rgb=True)
    viewer.add_labels(labels, name='outlines', opacity=0.5)
    viewer.dims.set_current_step(0, 2)


def open_halved_labels(viewer: Any) -> None:
    """Choose labels of half the resolution, which need to be resampled."""
    labels = next(x for x in viewer.layers if isinstance(x, Labels))
    small = labels.data[::2, ::2].copy()
    viewer.layers.remove(labels)
    viewer.add_labels(small, name='labels of a thumbnail')
    widget = open_dock(viewer)
    widget.set_labels('labels of a thumbnail')


def show_references(viewer: Any, widget: Any) -> None:
    """List two annotated images."""
    widget.panel.several.open()
    image, labels = widget.source, widget.labels
    widget.add_reference(image, labels)
    mirrored = viewer.add_image(
        image.data[:, ::-1].copy(), name='the same, mirrored', visible=False
    )
    other = viewer.add_labels(
        labels.data[:, ::-1].copy(), name='its labels', visible=False
    )
    widget.add_reference(mirrored, other)
    widget.set_source(image)
    show_part(widget, widget.panel.references)


def cover_damage(viewer: Any, widget: Any) -> None:
    """Leave a part of the source out."""
    rows, columns = widget.source.data.shape[:2]
    corners = [[0.1, 0.05], [0.1, 0.3], [0.45, 0.3], [0.45, 0.05]]
    shapes = viewer.add_shapes(
        [[(rows * y, columns * x) for y, x in corners]],
        name='damage',
        face_color=[(1, 0.2, 0.2, 0.3)],
        edge_color='red',
        edge_width=2,
    )
    widget.set_region(shapes, leave_out=True)
    widget.set_outputs('confidence')


def place_landmarks(viewer: Any, widget: Any) -> None:
    """Place pairs, one of which is switched off."""
    for layer in viewer.layers:
        layer.visible = layer in (widget.source, widget.target)
    widget.panel.judging.open()
    widget.panel.asking.setChecked(True)
    for at in ((60, 110), (150, 60), (230, 130)):
        at = np.array(at, float)
        there = widget.correspondence.warp_points(at[None])[0]
        widget.add_landmark(at, there + (4, -3), wait=True)
    widget.panel.landmarks.switched.emit(3, False)
    widget.wait()
    show_part(widget, widget.panel.landmarks)


def show_part(widget: Any, part: Any) -> None:
    """Scroll the dock to one of its parts."""
    settle()
    widget.panel.scroll.ensureWidgetVisible(part, 0, 20)


def play(viewer: Any, widget: Any, state: str, options: Any) -> None:
    """Bring the dock into a state."""
    if state == 'empty':
        return
    if state == 'stack':
        open_stack(viewer)
        widget.set_planes('propagate')
    else:
        open_pair(viewer, 'jug')
    viewer.reset_view()
    settle()
    widget.set_options(**options)
    if state == 'ready':
        return
    if state == 'refusal':
        open_halved_labels(viewer)
        return
    if state == 'references':
        show_references(viewer, widget)
        return
    if state == 'region':
        cover_damage(viewer, widget)
    if state == 'error':
        widget.set_options(weights='my-network.safetensors')
        widget.panel.run.click()
        settle(lambda: not widget.running)
        return
    if state == 'running':
        # So many iterations that one is met under way.
        widget.set_options(tolerance=0.0, iterations=20)
    widget.run()
    if state == 'running':
        settle(lambda: len(widget.panel.plot.changes) > 2)
        return
    settle(lambda: not widget.running)
    if state == 'stack':
        viewer.dims.set_current_step(0, 4)
    if state == 'landmarks':
        place_landmarks(viewer, widget)
    if state == 'region':
        show_part(widget, widget.panel.region.layer)
    if state == 'judging':
        for layer in viewer.layers:
            layer.visible = layer in (widget.source, widget.target)
        widget.panel.judging.open()
        widget.preview('checkerboard', 0.3, wait=True)
        widget.panel.asking.setChecked(True)
        for at in ((120, 110), (230, 120), (60, 190)):
            widget.ask(at)


def take(
    state: str,
    theme: str,
    path: Path,
    options: Any,
    window: tuple[int, int] = WINDOW,
) -> None:
    """Take the picture of one state."""
    viewer = napari.Viewer(show=False)
    viewer.theme = theme
    widget = open_dock(viewer)
    viewer.show()
    # Only now, or the size of the last session wins.
    viewer.window.resize(*window)
    settle()
    play(viewer, widget, state, options)
    settle()
    pixels = viewer.screenshot(canvas_only=False, flash=False)
    picture = Image.fromarray(pixels[..., :3])
    palette = picture.quantize(COLORS, kmeans=1)
    picture = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    widget.cancel()
    settle(lambda: not widget.running)
    viewer.close()
    notification_manager.records.clear()


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--out',
        type=Path,
        default=Path(__file__).parent / 'images',
        help='folder for the pictures',
    )
    parser.add_argument('--size', type=int, default=256, help='working size')
    parser.add_argument('--iterations', type=int, default=10)
    parser.add_argument(
        '--window',
        nargs=2,
        type=int,
        default=WINDOW,
        help='width and height of the window, such as 1366 768',
    )
    parser.add_argument('states', nargs='*', default=STATES)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    options = {
        'size': arguments.size,
        'iterations': arguments.iterations,
    }
    for state in arguments.states:
        for theme in ('dark', 'light'):
            take(
                state,
                theme,
                arguments.out / f'widget-{state}-{theme}.png',
                options,
                tuple(arguments.window),
            )


if __name__ == '__main__':
    main()
