"""Rates of what is done for many images: a batch, and a film."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.evaluation.speed.processes import run_job, run_module
from napari_samnet.options import DEFAULTS, MatchOptions

#: Longest side of the images of the batch, in pixels.
SIDE = 320


def batch_rate(
    options: MatchOptions, targets: int, *, workers: int = 1
) -> dict[str, Any]:
    """Measure ``napari-samnet batch`` on one annotated image and many others.

    ``targets``: how many images labels are carried to, each a warp of the
    annotated one in other light.
    ``workers``: processes that share them.
    Returns: ``pairs``, and ``pairs_per_second`` and ``images_encoded`` as the
    command itself reports them, files and loading included.
    Raises InputError if the command fails, with its last line.
    """
    with tempfile.TemporaryDirectory(prefix='napari-samnet-') as name:
        folder = Path(name)
        _write_pairs(folder, targets)
        words = ['batch', str(folder / 'pairs.csv')]
        words += ['--out', str(folder / 'results')]
        words += ['--workers', str(workers)]
        words += ['--outputs', 'labels', '--json', *_flags(options)]
        facts = run_module('a batch', 'napari_samnet', *words)
    return {
        'pairs': targets,
        'workers': workers,
        'pairs_per_second': facts['pairs_per_second'],
        'images_encoded': facts['images_encoded'],
    }


def series_rate(
    options: MatchOptions, frames: int, *, labels: int = 1
) -> dict[str, Any]:
    """Measure :func:`napari_samnet.propagate` on a film with labels.

    ``frames``: that labels are carried to. ``labels``: how many, 1 to 4.
    Returns: ``frames`` that labels were carried to, their ``shape``,
    ``seconds`` and ``frames_per_second`` once the network is loaded, and
    ``peak_mb`` of memory on top, the labels of all frames included.
    """
    given = {'frames': frames, 'labels': labels, 'options': asdict(options)}
    return run_job('series', given)


def _flags(options: MatchOptions) -> Iterator[str]:
    """Words of the command line for what is not the default."""
    usual = asdict(DEFAULTS)
    for key, value in asdict(options).items():
        if value == usual[key]:
            continue
        flag = key.replace('_', '-')
        if isinstance(value, bool):
            yield f'--{flag}' if value else f'--no-{flag}'
        else:
            yield f'--{flag}'
            yield str(value)


def _write_pairs(folder: Path, targets: int) -> None:
    """Files of one annotated photograph and of warps of it."""
    from skimage.io import imsave

    from napari_samnet.datasets.samples import load_sample
    from napari_samnet.datasets.synthetic import (
        WarpRanges,
        jitter,
        random_field,
        warp_photograph,
    )
    from napari_samnet.images.rgb import to_rgb

    pair = load_sample('coffee')
    step = -(-max(pair.source.shape[:2]) // SIDE)
    image = to_rgb(pair.source)[::step, ::step]
    labels = np.ascontiguousarray(pair.labels[::step, ::step])
    imsave(folder / 'source.png', np.rint(255 * image).astype(np.uint8))
    imsave(folder / 'labels.png', labels, check_contrast=False)
    rng = np.random.default_rng(0)
    lines = ['source,target,labels']
    for number in range(targets):
        field = random_field(
            (image.shape[0], image.shape[1]), rng, WarpRanges().times(0.5)
        )
        warped, _ = warp_photograph(jitter(image, rng), field)
        pixels = np.rint(255 * warped.clip(0, 1)).astype(np.uint8)
        imsave(folder / f'{number}.png', pixels)
        lines.append(f'source.png,{number}.png,labels.png')
    path = folder / 'pairs.csv'
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
