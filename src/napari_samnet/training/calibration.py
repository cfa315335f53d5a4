"""Limits for int8, found on training images, and the deviation with them.

``python -m napari_samnet.training.calibration IMAGES`` writes
``NAME.int8.json`` beside the weights.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_samnet.datasets.image_lists import ImageList, read_images, split
from napari_samnet.files import atomic_write
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.int8 import (
    Calibration,
    calibrated_parts,
    calibration_path,
    digest_of,
    read_calibration,
    within_bounds,
)
from napari_samnet.runtime.weights import get_weights, read_model
from napari_samnet.samnet.network import SAMNet
from napari_samnet.training.commands import image_parser, run_command
from napari_samnet.training.data import read_some, read_working, to_tensor
from napari_samnet.training.synthetic import synthetic_pair

#: Of a histogram of activations.
BINS = 2048

#: The convolutions that face the image stay in fp32: they are cheap, and
#: what they see or give has no limit worth a compromise.
KEPT = {'features': ('conv1_1',), 'decoder': ('leave.2',)}


class _Histogram:
    """Distribution of what enters a convolution."""

    def __init__(self) -> None:
        self.top = 0.0
        self.counts = torch.zeros(BINS)

    def widen(self, values: Tensor) -> None:
        """Take the range of values into account; the first pass."""
        self.top = max(self.top, float(values.max()))

    def count(self, values: Tensor) -> None:
        """Count values; the second pass."""
        self.counts += torch.histc(values.float(), BINS, 0.0, self.top)

    def limit(self) -> float:
        """Limit with the least squared error on 256 levels."""
        middles = (np.arange(BINS) + 0.5) * self.top / BINS
        counts = self.counts.double().numpy()
        limits = self.top * np.arange(BINS // 16, BINS + 1, 8) / BINS
        cut = np.maximum(middles - limits[:, None], 0)
        errors = (counts * cut**2).sum(1)
        errors += (counts * (cut == 0)).sum(1) * (limits / 255) ** 2 / 12
        return float(limits[errors.argmin()])


@torch.inference_mode()
def find_limits_on(
    model: SAMNet, images: Sequence[np.ndarray]
) -> dict[str, dict[str, float]]:
    """Largest input of each convolution that is worth a level.

    ``model``: in fp32 on the CPU.
    """
    parts = calibrated_parts(model)
    seen: dict[str, dict[str, _Histogram]] = {}
    layers = []
    for name, part in parts.items():
        seen[name] = {}
        for key, layer in part.named_modules():
            if isinstance(layer, nn.Conv2d) and key not in KEPT[name]:
                seen[name][key] = _Histogram()
                layers.append((layer, seen[name][key]))

    def look(method: str) -> None:
        def note(
            histogram: _Histogram, _: object, given: tuple[Tensor]
        ) -> None:
            getattr(histogram, method)(given[0])

        handles = [
            layer.register_forward_pre_hook(partial(note, histogram))
            for layer, histogram in layers
        ]
        for image in images:
            features = model.encode(to_tensor([image]), skips=False)
            model.decoder(features.content, (), skip=0.0)
        for handle in handles:
            handle.remove()

    look('widen')
    look('count')
    return {
        name: {
            key: float(f'{histogram.limit():.4g}')
            for key, histogram in each.items()
        }
        for name, each in seen.items()
    }


def measure_deviation(
    weights: str, images: ImageList, *, pairs: int
) -> dict[str, float]:
    """What int8 changes against fp32 with default options.

    Returns: means over the pairs: of the change of the field and of its
    end-point error in px, of the PSNR of the transferred image in dB; and the
    largest change of the field.
    """
    from napari_samnet.matching.match import match

    size = MatchOptions.size
    rng = np.random.default_rng(0)
    rows = []
    for index in rng.choice(len(images), pairs, replace=False):
        photograph = read_working(images[int(index)], size)
        source, target, flow, valid = synthetic_pair(photograph, rng)
        exact, quick = (
            match(
                source,
                target,
                weights=weights,
                device='cpu',
                backend='openvino',
                precision=precision,
                tolerance=0.0,
            )
            for precision in ('fp32', 'int8')
        )
        apart = np.linalg.norm(quick.flow - exact.flow, axis=-1)
        error, usual = (
            np.linalg.norm(result.flow - flow, axis=-1)[valid].mean()
            for result in (quick, exact)
        )
        assert quick.transferred is not None
        assert exact.transferred is not None
        square = np.square(quick.transferred - exact.transferred).mean()
        rows.append(
            {
                'mean_px': apart.mean(),
                'max_px': apart.max(),
                'epe_px': usual,
                'epe_change_px': error - usual,
                'psnr_db': -10 * np.log10(max(float(square), 1e-12)),
            }
        )
    deviation = {
        key: float(np.mean([row[key] for row in rows])) for key in rows[0]
    }
    deviation['max_px'] = float(max(row['max_px'] for row in rows))
    return {key: round(value, 4) for key, value in deviation.items()} | {
        'pairs': float(pairs)
    }


def main(words: Sequence[str] | None = None) -> None:
    """Calibrate, measure and write the file."""
    parser = image_parser(
        'calibration', 'Calibrate a network for int8 on training images.'
    )
    parser.add_argument(
        '--count',
        type=int,
        default=64,
        help='number of images that the limits are found on',
    )
    parser.add_argument(
        '--pairs',
        type=int,
        default=24,
        help='number of pairs that int8 is compared with fp32 on',
    )
    run_command(parser, _calibrate, words)


def _calibrate(args: argparse.Namespace) -> None:
    weights = get_weights(os.fspath(args.weights))
    model = read_model(weights.path)
    train, held_out = split(read_images(args.images, root=args.root))
    path = calibration_path(weights)
    calibration = _earlier(path, model)
    if calibration is None:
        photographs = read_some(train, args.count, MatchOptions.size)
        calibration = Calibration(
            weights='',
            images=len(photographs),
            digests=_digests(model),
            limits=find_limits_on(model, photographs),
            deviation={},
        )
    calibration = replace(calibration, weights=weights.sha256, deviation={})
    _write(path, calibration)
    deviation = measure_deviation(
        args.weights,
        held_out or train,
        pairs=min(args.pairs, len(held_out or train)),
    )
    _write(path, replace(calibration, deviation=deviation))
    sys.stdout.write(
        f'{path}: {deviation}, '
        f'{"within" if within_bounds(weights) else "beyond"} the bounds\n'
    )


def _digests(model: SAMNet) -> dict[str, str]:
    return {
        name: digest_of(part) for name, part in calibrated_parts(model).items()
    }


def _earlier(path: Path, model: SAMNet) -> Calibration | None:
    """Calibration in place, if it is of the same convolutions.

    Their limits do not change with what else a network consists of.
    """
    earlier = read_calibration(path)
    if earlier is None or earlier.digests != _digests(model):
        return None
    return earlier


def _write(path: Path, calibration: Calibration) -> None:
    with atomic_write(path) as file:
        file.write(calibration.to_json().encode())


if __name__ == '__main__':
    main()
