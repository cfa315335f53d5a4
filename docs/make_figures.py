"""Make the pictures of how it works, what it is for, and where it fails.

Run ``python docs/make_figures.py``; they go to ``docs/images``. All are made
with the packaged weights from the sample pairs and from pictures that come
with scikit-image, so that everybody may show them and gets the same. Needs no
display.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import color, data, draw

from napari_samnet import (
    Correspondence,
    MatchOptions,
    match,
    match_steps,
    propagate,
)
from napari_samnet.datasets.real_pairs import brain_series
from napari_samnet.datasets.sample_pair import SamplePair
from napari_samnet.datasets.samples import load_sample
from napari_samnet.outputs.panels import (
    FINE,
    confidence_picture,
    faded,
    flow_picture,
    on_grid,
    picture_of,
    with_labels,
    with_points,
)

FOLDER = Path(__file__).parent / 'images'

#: Spaces, sizes of text, and colors.
GAP, TITLE, NOTE = 14, 17, 14
INK, SOFT, PAPER = (32, 36, 44), (110, 116, 128), (255, 255, 255)

#: What cannot be seen to be fewer, and takes a quarter of the space.
COLORS = 200

#: One panel: picture, title, note.
Panel = tuple[Image.Image, str, str]


def store(picture: Image.Image, name: str) -> None:
    """Store a picture, small, and say where."""
    path = FOLDER / f'{name}.png'
    picture.convert('RGB').quantize(COLORS).save(path, optimize=True)
    sys.stdout.write(f'{path} {path.stat().st_size // 1000} kB\n')


def animate(frames: Sequence[Image.Image], name: str) -> None:
    """Store an animation that rests on its first and last frames."""
    path = FOLDER / f'{name}.webp'
    times = [1200, *[700] * (len(frames) - 2), 2500]
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=times,
        loop=0,
        quality=72,
        method=6,
    )
    sys.stdout.write(f'{path} {path.stat().st_size // 1000} kB\n')


def sheet(rows: Sequence[Sequence[Panel]], width: int) -> Image.Image:
    """Lay out panels in rows, each as wide as given, with their texts."""
    title, note = (ImageFont.load_default(size) for size in (TITLE, NOTE))
    lines = []
    for row in rows:
        pictures = [
            picture.resize(
                (width, round(picture.height * width / picture.width)),
                Image.Resampling.LANCZOS,
            )
            for picture, *_ in row
        ]
        texts = [(head, text) for _, head, text in row]
        caption = 8 + 22 * any(head for head, _ in texts)
        caption += 20 * any(text for _, text in texts)
        height = caption + max(picture.height for picture in pictures)
        across = len(row) * (width + GAP) - GAP
        line = Image.new('RGB', (across, height), PAPER)
        pen = ImageDraw.Draw(line)
        for place, (picture, (head, text)) in enumerate(
            zip(pictures, texts, strict=True)
        ):
            left = place * (width + GAP)
            pen.text((left, 2), head, INK, title)
            pen.text((left, 2 + 22 * bool(head)), text, SOFT, note)
            line.paste(picture, (left, caption))
        lines.append(line)
    whole = Image.new(
        'RGB',
        (
            max(line.width for line in lines) + 2 * GAP,
            sum(line.height + GAP for line in lines) + GAP,
        ),
        PAPER,
    )
    top = GAP
    for line in lines:
        whole.paste(line, (GAP, top))
        top += line.height + GAP
    return whole


def shown(image: NDArray[Any]) -> Image.Image:
    """An image as a panel's picture."""
    return picture_of(image, image.shape[:2], None, 'image')


def annotated(image: NDArray[Any], labels: NDArray[Any]) -> Image.Image:
    """An image with labels."""
    return with_labels(shown(image), labels)


def pulled(pair: SamplePair, result: Correspondence) -> Image.Image:
    """The target brought onto the source, pale where it is not trusted."""
    second = shown(pair.target)
    size = shown(pair.source).size
    reduced = on_grid(result, (size[1], size[0]))
    warped = replace(
        reduced, target_shape=(second.height, second.width)
    ).warp_image(np.asarray(second), fill=255)
    return faded(warped, reduced.confidence)


def states(pair: SamplePair, **options: Any) -> list[Correspondence]:
    """What is found after each iteration."""
    steps = match_steps(pair.source, pair.target, MatchOptions(**options))
    return [step.snapshot() for step in steps if step.snapshot is not None]


def error_of(pair: SamplePair, result: Correspondence) -> float:
    """Mean end-point error of the labeled points, in pixels."""
    known = np.isfinite(pair.flow).all(axis=-1) & (pair.labels > 0)
    return float(np.hypot(*(result.flow - pair.flow)[known].T).mean())


def unmoved(result: Correspondence) -> Correspondence:
    """The same with a field that does not move."""
    return replace(
        result,
        forward=np.zeros_like(result.forward),
        backward=np.zeros_like(result.backward),
    )


def convergence() -> None:
    """Iterations from no motion, as in Fig. 4 of the paper."""
    pair = load_sample('cat')
    found = states(pair, init='identity', iterations=10)
    chosen = [k for k in (1, 2, 3, 5, len(found)) if k <= len(found)]
    chosen = sorted(set(chosen))
    rows: list[list[Panel]] = [
        [(shown(pair.source), 'Source', '')],
        [(shown(pair.target), 'Target', '')],
        [(annotated(pair.source, pair.labels), 'Labels', '')],
    ]
    for count in chosen:
        result = found[count - 1]
        note = f'error {error_of(pair, result):.1f} px'
        rows[0].append((shown(result.transferred), f'After {count}', note))
        rows[1].append((pulled(pair, result), '', ''))
        carried = result.warp_labels(pair.labels)
        rows[2].append((annotated(pair.target, carried), '', ''))
    store(sheet(rows, 230), 'convergence')
    start = unmoved(found[0])
    frames = [
        sheet(
            [
                [
                    (
                        annotated(
                            pair.target, result.warp_labels(pair.labels)
                        ),
                        'Labels of the source on the target',
                        f'iteration {count}',
                    ),
                    (
                        shown(pair.source if count == 0 else image),
                        "The source with the target's look",
                        f'iteration {count}',
                    ),
                ]
            ],
            340,
        )
        for count, result in enumerate([start, *found])
        for image in [result.transferred]
    ]
    animate(frames, 'convergence')


def uses() -> None:
    """Flow, mask, points and appearance, one picture for each use."""
    jug = load_sample('jug')
    found = match(jug.source, jug.target, labels=jug.labels)
    rows: list[list[Panel]] = [
        [
            (annotated(jug.source, jug.labels), 'Annotated once', ''),
            (annotated(jug.target, found.warped_labels), 'Carried over', ''),
        ]
    ]
    store(sheet(rows, 380), 'mask')
    field, _ = flow_picture(found)
    rows = [
        [
            (field.reduce(FINE), 'Flow', 'where each point of the source is'),
            (confidence_picture(found), 'Confidence', 'from 0 to 1'),
        ]
    ]
    store(sheet(rows, 380), 'flow')
    points = spots(jug)
    rows = [
        [
            (
                with_points(shown(jug.source), points, found.source_shape),
                'Clicked once',
                '',
            ),
            (
                with_points(
                    shown(jug.target),
                    found.warp_points(points),
                    found.target_shape,
                ),
                'Found again',
                '',
            ),
        ]
    ]
    store(sheet(rows, 380), 'points')
    store(looks('jug', 'cat'), 'appearance')
    store(looks('kidney'), 'stain')


def looks(*names: str) -> Image.Image:
    """Source, target, and the source with the target's look."""
    rows: list[list[Panel]] = []
    for name in names:
        pair = load_sample(name)
        result = match(pair.source, pair.target)
        rows.append(
            [
                (shown(pair.source), 'Source', ''),
                (shown(pair.target), 'Target', ''),
                (shown(result.transferred), 'Transferred', ''),
            ]
        )
    return sheet(rows, 290)


def spots(pair: SamplePair) -> NDArray[np.float64]:
    """A point well inside of each label, and two on their borders."""
    rows, columns = np.nonzero(pair.labels)
    places = []
    for value in np.unique(pair.labels)[1:]:
        inside = np.argwhere(pair.labels == value)
        places.append(inside[len(inside) // 3])
    places += [np.array([rows.min(), columns[rows.argmin()]])]
    places += [np.array([rows[columns.argmin()], columns.min()])]
    return np.array(places, np.float64)


def failures() -> None:
    """What it gets wrong, or should not be asked."""
    rows = [failure() for failure in (thin_parts, mirrored, alike, strangers)]
    store(sheet(rows, 250), 'failures')


def failed(
    source: NDArray[Any],
    target: NDArray[Any],
    labels: NDArray[Any],
    texts: tuple[str, str],
    **options: Any,
) -> list[Panel]:
    """One row of the gallery."""
    found = match(source, target, labels=labels, **options)
    error = found.mean_consistency() / np.sqrt(np.prod(source.shape[:2]))
    marked = found.backward_confidence[found.warped_labels > 0]
    trust = float(marked.mean()) if marked.size else 0.0
    return [
        (annotated(source, labels), *texts),
        (annotated(target, found.warped_labels), 'Carried over', ''),
        (
            confidence_picture(found),
            'Confidence',
            f'{trust:.2f} on the labels, round trip {error:.1%}',
        ),
    ]


def thin_parts() -> list[Panel]:
    """The trunk beside the legs, which look like it, and the thin tusk."""
    pair = load_sample('elephant')
    return failed(
        pair.source,
        pair.target,
        pair.labels,
        ('Parts that look alike', 'a trunk before legs, a thin tusk'),
    )


def mirrored() -> list[Panel]:
    """The target is the source's mirror image, which was ruled out."""
    pair = load_sample('cat')
    return failed(
        pair.source,
        np.ascontiguousarray(pair.source[:, ::-1]),
        np.where(np.indices(pair.labels.shape)[1] < 250, pair.labels, 0),
        ('Mirrored, taken as upright', 'one eye lands in two places'),
        orientation='upright',
    )


def alike() -> list[Panel]:
    """Many objects of one kind: other coins of the same tray."""
    coins = color.gray2rgb(data.coins())
    source, target = coins[30:190, 60:270], coins[143:303, 130:340]
    labels = np.zeros(source.shape[:2], np.uint8)
    labels[draw.disk((96, 93), 21)] = 1
    return failed(
        np.ascontiguousarray(source),
        np.ascontiguousarray(target),
        labels,
        ('Many of one kind', 'which one is meant is not known'),
    )


def strangers() -> list[Panel]:
    """Two pictures that have nothing in common."""
    pair = load_sample('cat')
    return failed(
        pair.source,
        data.rocket()[:, 60:560],
        pair.labels,
        ('Nothing in common', 'something is found all the same'),
    )


def series() -> None:
    """Labels carried through the sections of a brain."""
    sections, labels, _ = brain_series()
    carried = propagate(sections, labels).labels
    row = [
        (
            annotated(section, plane),
            f'Section {number}',
            'annotated' if labels[number].any() else 'carried over',
        )
        for number, (section, plane) in enumerate(
            zip(sections, carried, strict=True)
        )
    ]
    store(sheet([row[:3], row[3:]], 310), 'series')


#: Every picture by the name of its function.
PICTURES: dict[str, Callable[[], None]] = {
    'convergence': convergence,
    'uses': uses,
    'failures': failures,
    'series': series,
}


def main() -> None:
    """Make the pictures named as arguments, by default all."""
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or PICTURES:
        PICTURES[name]()


if __name__ == '__main__':
    main()
