"""Make the pictures of README and documentation anew.

Run ``python docs/make_pictures.py``; they go to ``docs/images``. All are made
from the sample pairs with the packaged weights, so that a picture shows what
a user gets. The one of napari needs a display.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from PIL import Image

from napari_samnet import match
from napari_samnet.cli.display import missing_display
from napari_samnet.datasets.samples import load_sample
from napari_samnet.outputs.overview import draw_overview

FOLDER = Path(__file__).parent / 'images'

#: The sample pairs that the pages show.
SHOWN = ('elephant', 'jug', 'kidney', 'cat', 'motorcycle')

#: Colors of a stored picture; more are not seen, and cost four times.
COLORS = 256


def store(picture: Image.Image, name: str) -> None:
    """Store a picture, small, and say where."""
    path = FOLDER / f'{name}.png'
    picture.convert('RGB').quantize(COLORS).save(path, optimize=True)
    sys.stdout.write(f'{path}\n')


def overview(name: str) -> Image.Image:
    """Match one pair and draw its overview."""
    pair = load_sample(name)
    result = match(pair.source, pair.target, labels=pair.labels)
    pixels = draw_overview(
        pair.source,
        pair.target,
        result,
        labels=pair.labels,
        heading=pair.title,
    )
    return Image.fromarray(pixels)


def window() -> Image.Image:
    """Run the demonstration in napari and take its picture."""
    with tempfile.TemporaryDirectory() as folder:
        # Neither does the picture depend on the user's preferences, nor they
        # on it.
        os.environ['NAPARI_CONFIG'] = str(Path(folder) / 'settings.yaml')
        os.environ['XDG_CONFIG_HOME'] = folder
        from qtpy.QtWidgets import QApplication

        from napari_samnet.plugin import open_demo
        from napari_samnet.plugin.transfer.docks import open_dock

        viewer = open_demo()
        open_dock(viewer).wait(600)
        # After showing, else the stored size wins.
        viewer.window.resize(1500, 950)
        for _ in range(20):
            QApplication.processEvents()
        viewer.reset_view()
        for _ in range(20):
            QApplication.processEvents()
        pixels = viewer.screenshot(canvas_only=False, flash=False)
        viewer.close()
    return Image.fromarray(pixels)


def main() -> None:
    """Make the pictures named as arguments, by default all."""
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or [*SHOWN, 'napari']:
        if name != 'napari':
            store(overview(name), name)
        elif (reason := missing_display()) is None:
            store(window(), name)
        else:
            sys.stdout.write(f'No picture of napari: {reason}\n')


if __name__ == '__main__':
    main()
