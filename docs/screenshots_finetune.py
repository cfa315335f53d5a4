"""Take the pictures of 'Fine-tune on my images'.

Needs a display with OpenGL, such as Xvfb::

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots_finetune.py

Every state of the dock is taken in the dark and the light theme. The images
are planes of the sample that shows tissue, and training is real but short.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

# What whoever runs this has set and trained is neither shown nor changed.
os.environ['NAPARI_CONFIG'] = str(Path(tempfile.mkdtemp()) / 'settings.yaml')

import napari
from make_screenshots import WINDOW, open_stack, settle
from napari.utils.notifications import notification_manager

STATES = ('empty', 'ready', 'running', 'done', 'stopped', 'error')

#: So short that the pictures take minutes, and long enough for a curve.
QUICK = {
    'matcher_steps': 40,
    'size': 128,
    'pairs': 32,
    'iterations': 3,
    'matcher_batch': 2,
}


def play(viewer: Any, widget: Any, state: str) -> None:
    """Bring the dock into a state."""
    if state == 'empty':
        return
    open_stack(viewer)
    viewer.reset_view()
    settle()
    if state == 'ready':
        return
    widget.set_options(**QUICK)
    if state == 'error':
        widget.set_options(start='my-network.safetensors')
        widget.panel.footer.run.click()
        settle(lambda: not widget.running)
        return
    widget.run()
    if state in ('running', 'stopped'):
        settle(lambda: len(widget.panel.error.values) > 4)
    if state == 'stopped':
        widget.cancel()
    if state != 'running':
        settle(lambda: not widget.running)


def take(state: str, theme: str, path: Path) -> None:
    """Take the picture of one state."""
    home = Path(os.environ['NAPARI_CONFIG']).parent / path.stem
    os.environ['NAPARI_SAMNET_HOME'] = str(home)
    viewer = napari.Viewer(show=False)
    viewer.theme = theme
    _, widget = viewer.window.add_plugin_dock_widget(
        'napari-samnet', 'Fine-tune on my images'
    )
    viewer.show()
    # Only now, or the size of the last session wins.
    viewer.window.resize(*WINDOW)
    settle()
    play(viewer, widget, state)
    settle()
    viewer.screenshot(str(path), canvas_only=False, flash=False)
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
        default=Path(__file__).parent / 'screenshots',
        help='folder for the pictures',
    )
    parser.add_argument(
        '--themes', default='dark,light', help='which themes, by comma'
    )
    parser.add_argument('states', nargs='*', default=STATES)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for state in arguments.states:
        for theme in arguments.themes.split(','):
            path = arguments.out / f'finetune-{state}-{theme}.png'
            take(state, theme, path)


if __name__ == '__main__':
    main()
