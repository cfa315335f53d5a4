"""What twenty images of a collection teach: other images of it, before, after.

``python -m fine_tuning --root DATA --out RUNS`` trains on twenty images each
of three collections as the dock does by default, and measures other images of
them, beside the simplest methods. ``--recipe points`` teaches by the points
of the twenty images instead, where there are some, ``--recipe
NAME=OPTION=VALUE,…`` in another way; several can be given. What is done
already is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.cli.arguments import read_named_values
from napari_samnet.datasets.image_lists import is_image_file, read_images
from napari_samnet.datasets.pair_lists import ImageFile, KeypointPair
from napari_samnet.datasets.published_keypoints import histology, mouse
from napari_samnet.datasets.published_masks import weizmann
from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import run_benchmark
from napari_samnet.evaluation.interfaces import Protocol
from napari_samnet.evaluation.methods.registry import get_methods
from napari_samnet.evaluation.protocols.keypoints import Keypoints
from napari_samnet.evaluation.protocols.landmarks import Landmarks
from napari_samnet.evaluation.protocols.masks import Masks
from napari_samnet.evaluation.protocols.synthetic import (
    Photographs,
    Synthetic,
)
from napari_samnet.files import write_text
from napari_samnet.options import DEFAULTS
from napari_samnet.training.options import (
    FINE_TUNING_DEFAULTS,
    POINT_TUNING_DEFAULTS,
    TRAINING_DEFAULTS,
    TrainingOptions,
)
from napari_samnet.training.recipe import train_steps
from napari_samnet.training.runs import WEIGHTS_NAME

#: Images of a collection that are learnt from.
IMAGES = 20

#: Largest difference in degrees of the headings of two mice that make a pair.
ALIKE_HEADING = 45

#: Scores that are shown, of those that the protocols give.
SHOWN = ('iou', 'boundary_f', 'pck@0.05', 'pck@0.10', 'pck@0.15', 'epe')


@dataclass(frozen=True)
class Collection:
    """Images that show something alike."""

    #: Those that are learnt from.
    learnt: Sequence[Path]
    #: Other images of it, by the name of what is measured.
    measured: dict[str, Callable[[], Protocol]]
    #: ``(K, 2)`` row, column of the keypoints of images that are learnt from.
    points: dict[Path, NDArray[np.float64]] | None = None


def _images(folder: Path) -> list[Path]:
    """Images of a folder; raises InputError if there are too few."""
    images = sorted(filter(is_image_file, folder.glob('*')))
    if len(images) < IMAGES:
        raise InputError(
            f'{folder} must hold at least {IMAGES} images, got {len(images)}'
        )
    return images


def horses(root: Path) -> Collection:
    """Horses of Weizmann: photographs, and masks of others."""
    images = _images(root / 'train/weizmann-horse/images')
    step = len(images) // IMAGES
    return Collection(
        images[: step * IMAGES : step],
        {'masks': lambda: Masks(weizmann(root))},
    )


def mice(root: Path) -> Collection:
    """Frames of a mouse in an open field, with four keypoints.

    One frame of three is measured with, in all pairs of similar heading.
    """
    points: dict[Path, NDArray[np.float64]] = {}
    shapes: dict[Path, tuple[int, int] | None] = {}
    for pair in mouse(root):
        points[pair.source] = pair.source_points
        points[pair.target] = pair.target_points
        shapes[pair.source] = pair.source_shape
        shapes[pair.target] = pair.target_shape
    frames = sorted(points)
    others = frames[1::3][: len(frames) - IMAGES]

    def heading(frame: Path) -> float:
        row, column = points[frame][0] - points[frame][-1]
        return float(np.degrees(np.arctan2(row, column)))

    pairs = [
        KeypointPair(
            f'{one.stem}-{other.stem}',
            'mouse',
            one,
            other,
            points[one],
            points[other],
            shapes[one],
            shapes[other],
        )
        for one, other in permutations(others, 2)
        if abs((heading(one) - heading(other) + 180) % 360 - 180)
        < ALIKE_HEADING
    ]
    learnt = [frame for frame in frames if frame not in others]
    return Collection(
        learnt,
        {'keypoints': lambda: Keypoints(pairs)},
        {frame: points[frame] for frame in learnt},
    )


def sections(root: Path) -> Collection:
    """Sections of a mouse brain: known warps of others, and other tissue."""
    images = _images(root / 'samples/mouse-brain-sections')
    learnt = [image for index, image in enumerate(images) if index % 7 < 4]
    others = [image for image in images if image not in learnt]

    def warps() -> Protocol:
        files = [ImageFile(path, path.stem, 'section') for path in others]
        return Synthetic(Photographs(files), seed=0)

    return Collection(
        learnt[:IMAGES],
        {
            'known warps': warps,
            'landmarks of other tissue': lambda: Landmarks(histology(root)),
        },
    )


#: Ways to train that have a name: that of the dock, and that of ``train
#: --points``.
RECIPES = {
    'default': FINE_TUNING_DEFAULTS,
    'points': replace(POINT_TUNING_DEFAULTS, keypoints='those of it'),
}

COLLECTIONS = {'horses': horses, 'mice': mice, 'sections': sections}


def learn(
    collection: Collection, folder: Path, options: TrainingOptions
) -> Path:
    """Train on the images of a collection, or go on with it.

    ``folder``: of the run; a list of the images is written there.
    ``options``: `keypoints` stands for those of the collection.
    Returns: file of the network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = folder / 'images.csv'
    lines = [f'{path},collection' for path in collection.learnt]
    write_text(listed, '\n'.join(['file,category', *lines, '']))
    if options.keypoints:
        if collection.points is None:
            raise InputError('this collection has no keypoints')
        marked = folder / 'keypoints.json'
        images = {
            str(path): {'kp': [[x, y, 1] for y, x in points.tolist()]}
            for path, points in collection.points.items()
        }
        write_text(marked, json.dumps({'images': images}))
        options = replace(options, keypoints=str(marked))
    run = folder / 'run'
    for _ in train_steps(read_images(listed), run, options):
        pass
    return run / WEIGHTS_NAME


def measure(
    collection: Collection, weights: str, limit: int | None
) -> dict[str, Any]:
    """Scores on the other images, by what is measured and method."""
    methods = get_methods(
        ['samnet', 'nearest', 'identity'], replace(DEFAULTS, weights=weights)
    )
    return {
        name: run_benchmark(protocol(), methods, limit=limit).result['methods']
        for name, protocol in collection.measured.items()
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: per score, a row for each network and each method."""
    lines = []
    for name, by_weights in results.items():
        for what in next(iter(by_weights.values())):
            first = next(iter(by_weights.values()))[what]['samnet']
            shown = [
                score for score in (*SHOWN, *first) if _is_shown(score, first)
            ]
            shown = list(dict.fromkeys(shown))
            lines += [
                f'{name}, {what}',
                '',
                f'| network | method | {" | ".join(shown)} |',
                '|---' * (len(shown) + 2) + '|',
            ]
            for weights, measured in by_weights.items():
                for method, scores in measured[what].items():
                    cells = [f'{scores[score]:.4g}' for score in shown]
                    row = ' | '.join((weights, method, *cells))
                    lines.append(f'| {row} |')
            lines.append('')
    return '\n'.join(lines)


def _is_shown(score: str, scores: dict[str, Any]) -> bool:
    return score in scores and (score in SHOWN or 'tre' in score)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    ``argv``: words after the program's name, by default those of the process.
    Returns: exit status: 0 done, 2 wrong input.
    """
    parser = argparse.ArgumentParser(prog='fine_tuning', description=__doc__)
    add = parser.add_argument
    add('--root', type=Path, required=True, help='folder of the data')
    add('--out', type=Path, required=True, help='folder of the runs')
    add('--collection', action='append', choices=tuple(COLLECTIONS))
    add('--recipe', action='append', default=[], help='NAME=OPTION=VALUE,…')
    add('--limit', type=int, default=24, help='take only so many pairs')
    args = parser.parse_args(argv)
    try:
        recipes = dict(map(_recipe, args.recipe or ['default']))
        results: dict[str, dict[str, Any]] = {}
        for name in args.collection or COLLECTIONS:
            collection = COLLECTIONS[name](args.root)
            found = results[name] = {}
            folder = args.out / name
            for title in ('before', *recipes):
                done = folder / title / f'result-{args.limit}.json'
                if not done.is_file():
                    weights = DEFAULTS.weights
                    if title != 'before':
                        weights = str(
                            learn(collection, folder / title, recipes[title])
                        )
                    scores = measure(collection, weights, args.limit)
                    done.parent.mkdir(parents=True, exist_ok=True)
                    write_text(done, json.dumps(scores, indent=1))
                found[title] = json.loads(done.read_text(encoding='utf-8'))
    except InputError as error:
        sys.stderr.write(f'fine_tuning: {error}\n')
        return 2
    sys.stdout.write(table(results))
    return 0


def _recipe(text: str) -> tuple[str, TrainingOptions]:
    """A name, and the defaults of the dock with some options changed."""
    if text in RECIPES:
        return text, RECIPES[text]
    name, equals, given = text.partition('=')
    if not equals or not name or '=' not in given:
        raise InputError(f'recipe must be NAME=OPTION=VALUE,…, got {text!r}')
    usual = asdict(FINE_TUNING_DEFAULTS)
    kinds = {
        field.name: type(getattr(TRAINING_DEFAULTS, field.name))
        for field in fields(TrainingOptions)
    }
    changed = read_named_values('--recipe', given.split(','), kinds)
    return name, TrainingOptions(**(usual | changed))


if __name__ == '__main__':
    raise SystemExit(main())
