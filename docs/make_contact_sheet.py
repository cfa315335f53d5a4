"""Make a contact sheet of transferred images.

``python docs/make_contact_sheet.py`` makes ``docs/images/transferred.jpg``
from the sample pairs, from photographs that come with scikit-image, whose
attributes were changed in a known way, and from pairs that show unlike things,
of which nothing is to be taken.

``python docs/make_contact_sheet.py --pairs FILE --root DIR --limit 10 OUT``
makes a sheet of any list of pairs: a CSV file with columns ``source, target``
or ``content, style``, paths relative to DIR. Pairs are evenly spread over the
list. Everything runs with the packaged weights and default settings.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_samnet import match
from napari_samnet.datasets.reading import read_image
from napari_samnet.datasets.samples import SAMPLES, load_sample
from napari_samnet.evaluation.protocols.attributes import Attributes
from napari_samnet.evaluation.protocols.synthetic import Photographs
from napari_samnet.images.rgb import to_rgb

SHEET = Path(__file__).parent / 'images' / 'transferred.jpg'

#: Size of a picture, space around it, and height of a caption, in pixels.
PICTURE = (230, 170)
GAP = 6
CAPTION = 16

#: The known changes are shown on these pairs of the benchmark.
KNOWN = (8, 11, 18, 15, 13, 14)

#: Sample pairs whose sources show nothing alike.
UNLIKE = (
    ('elephant', 'jug'),
    ('cat', 'elephant'),
    ('jug', 'cat'),
    ('coffee', 'motorcycle'),
    ('motorcycle', 'kidney'),
)

Panel = tuple[str, NDArray[np.float32]]


def transfer(source: NDArray, target: NDArray) -> list[Panel]:
    """Source, target and what becomes of the source."""
    found = match(source, target)
    return [
        (name, to_rgb(image))
        for name, image in (
            ('source', source),
            ('target', target),
            ('transferred', found.transferred),
        )
    ]


def showable() -> Iterator[list[Panel]]:
    """Rows of images that may be shown."""
    for name in SAMPLES:
        pair = load_sample(name)
        yield transfer(pair.source, pair.target)
    protocol = Attributes(Photographs())
    for index in KNOWN:
        pair = protocol.load(index)
        row = transfer(pair.source, pair.target)
        yield [*row, (f'right answer ({pair.group})', pair.truth.image)]
    for one, other in UNLIKE:
        yield transfer(load_sample(one).source, load_sample(other).source)


def listed(pairs: Path, root: Path, limit: int) -> Iterator[list[Panel]]:
    """Rows of the pairs of a list."""
    with pairs.open(newline='') as file:
        rows = list(csv.DictReader(file))
    count = min(limit, len(rows))
    for index in range(count):
        row = rows[(2 * index + 1) * len(rows) // (2 * count)]
        names = (
            row.get('source') or row['content'],
            row.get('target') or row['style'],
        )
        source, target = (read_image(root / name) for name in names)
        yield transfer(source, target)


def draw(rows: Sequence[list[Panel]], lines: int) -> Image.Image:
    """Rows of pictures with captions, in as many columns as it takes."""
    width = GAP + max(map(len, rows)) * (PICTURE[0] + GAP)
    height = CAPTION + PICTURE[1] + GAP
    columns = -(-len(rows) // lines)
    sheet = Image.new('RGB', (columns * width, lines * height), 'white')
    pen = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        column, line = divmod(number, lines)
        for place, (name, pixels) in enumerate(row):
            left = column * width + GAP + place * (PICTURE[0] + GAP)
            top = line * height
            pen.text((left, top + 3), name, 'black')
            picture = Image.fromarray(np.uint8(pixels * 255 + 0.5))
            picture.thumbnail(PICTURE, Image.Resampling.LANCZOS)
            sheet.paste(picture, (left, top + CAPTION))
    return sheet


def main() -> None:
    """Make the sheet that the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('out', nargs='?', type=Path, default=SHEET)
    parser.add_argument('--pairs', type=Path, help='CSV file of pairs')
    parser.add_argument('--root', type=Path, help='folder of their images')
    parser.add_argument('--limit', type=int, default=10, help='pairs shown')
    chosen = parser.parse_args()
    if chosen.pairs is None:
        rows = list(showable())
    elif chosen.out == SHEET:
        parser.error('--pairs needs a file to write to, outside of docs')
    else:
        root = chosen.root or chosen.pairs.parent
        rows = list(listed(chosen.pairs, root, chosen.limit))
    draw(rows, -(-len(rows) // 2)).save(chosen.out, quality=72, optimize=True)
    sys.stdout.write(f'{chosen.out}\n')


if __name__ == '__main__':
    main()
