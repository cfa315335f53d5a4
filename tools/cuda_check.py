"""Everything about a graphics card in one go, in eight minutes at most.

From this folder, on a machine with CUDA: ``python -m cuda_check`` prints one
JSON object and ends with status 1 if a check failed. Parts that no time is
left for are said to be. ``--device cpu --quick`` runs the same code where
there is no graphics card, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch

from napari_samnet.datasets.synthetic import (
    WarpRanges,
    bundled_photograph,
    random_field,
    warp_photograph,
)
from napari_samnet.images.rgb import to_working
from napari_samnet.matching.match import match
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.feature_cache import FEATURES
from napari_samnet.runtime.loading import load_model
from napari_samnet.samnet.features import Features
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.recurrence import Recurrence

Image = np.ndarray

#: Seconds in which all parts must have begun.
BUDGET = 420.0

#: What must hold on a data center's card: milliseconds, pairs per second,
#: and pixels at working size.
LIMITS = {
    'network_ms': 3.0,
    'match_ms': 10.0,
    'pairs_per_second': 1500.0,
    'fp32_mean_px': 0.05,
    'bf16_mean_px': 0.5,
}


@dataclass
class Check:
    """What is measured, and what came out of it."""

    #: Torch's name of the device, such as 'cuda'.
    device: str
    #: Working size of the matches, in pixels.
    size: int
    #: How many pairs the large batch has.
    batch: int
    #: Runs of which the median is taken.
    repeats: int
    started: float = field(default_factory=time.perf_counter)
    result: dict[str, Any] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @property
    def has_bf16(self) -> bool:
        """Whether bf16 is worth measuring."""
        return self.device.startswith('cuda')

    def run(self, name: str, part: Callable[[], dict[str, Any]]) -> None:
        """Do a part, if there is time, and keep what it gives."""
        if time.perf_counter() - self.started > BUDGET:
            self.result[name] = 'no time was left'
            self.failed.append(name)
            return
        start = time.perf_counter()
        try:
            figures = part()
        except Exception as error:  # noqa: BLE001
            text = ' '.join(str(error).split())
            figures = {'error': f'{type(error).__name__}: {text}'}
            self.failed.append(name)
        figures['took_s'] = round(time.perf_counter() - start, 1)
        self.result[name] = figures

    def judge(self, name: str, value: float) -> float:
        """Compare a figure with its limit, where there is a card."""
        limit = LIMITS[name]
        least = name == 'pairs_per_second'
        right = value >= limit if least else value <= limit
        if not right and self.device.startswith('cuda'):
            self.failed.append(f'{name} {value:.4g}, asked {limit:g}')
        return round(value, 4)

    def milliseconds(self, work: Callable[[], object]) -> float:
        """Median time of some work, after two runs that are not counted.

        Returns: milliseconds of one run.
        """
        times = []
        for _ in range(self.repeats + 2):
            self._wait()
            start = time.perf_counter()
            work()
            self._wait()
            times.append(1000 * (time.perf_counter() - start))
        return median(times[2:])

    def _wait(self) -> None:
        if self.device.startswith('cuda'):
            torch.cuda.synchronize(self.device)

    def options(self, **changes: Any) -> MatchOptions:
        """Options of a default match on the device."""
        known = {'device': self.device, 'size': self.size, 'backend': 'torch'}
        return MatchOptions(**{**known, **changes})

    def match(self, pair: tuple[Image, Image], **changes: Any) -> Any:
        """Match a pair, with nothing kept of earlier ones."""
        FEATURES.clear()
        chosen = self.options(**changes)
        return match(
            *pair,
            device=chosen.device,
            precision=chosen.precision,
            backend=chosen.backend,
            size=chosen.size,
        )


def pairs(count: int) -> list[tuple[Image, Image]]:
    """Photographs and known warps of them."""
    names = ('astronaut', 'coffee', 'chelsea', 'rocket')
    made = []
    for index in range(count):
        photograph = bundled_photograph(names[index % len(names)])
        rng = np.random.default_rng([7, index])
        flow = random_field(
            (photograph.shape[0], photograph.shape[1]),
            rng,
            WarpRanges().times(0.5),
        )
        made.append((warp_photograph(photograph, flow)[0], photograph))
    return made


def equality(check: Check, count: int) -> dict[str, Any]:
    """The device beside the CPU, in fp32 and bf16.

    Returns: mean distance of the fields, in pixels at working size.
    """
    apart: dict[str, list[float]] = {}
    for pair in pairs(count):
        exact = check.match(pair, device='cpu', precision='fp32')
        for precision in ('fp32', 'bf16') if check.has_bf16 else ('fp32',):
            fast = check.match(pair, precision=precision)
            rows = [np.linalg.norm(fast.flow - exact.flow, axis=-1)]
            scale = check.size / max(pair[0].shape[:2])
            apart.setdefault(precision, []).append(
                scale * float(np.mean(rows))
            )
    return {
        f'{name}_mean_px': check.judge(f'{name}_mean_px', float(np.mean(row)))
        for name, row in apart.items()
    }


def _features(
    check: Check, model: SAMNet, count: int
) -> tuple[Features, Features]:
    """Features of so many pairs, both images."""
    parts: list[list[Features]] = [[], []]
    for pair in pairs(min(count, 8)):
        for side, image in enumerate(pair):
            small = to_working(image, size=check.size)
            batch = torch.from_numpy(small).permute(2, 0, 1)[None]
            batch = batch.to(check.device, memory_format=torch.channels_last)
            parts[side].append(model.encode(batch, skips=False))
    repeats = -(-count // len(parts[0]))
    source, target = (
        Features(
            torch.cat([one.matching for one in side] * repeats)[:count],
            torch.cat([one.content for one in side] * repeats)[:count],
            (),
        )
        for side in parts
    )
    return source, target


def network(check: Check) -> dict[str, Any]:
    """Encoding, start and iterations of one pair, on the device alone.

    Returns: milliseconds of each, and of three iterations with all else.
    """
    precision = 'bf16' if check.has_bf16 else 'fp32'
    model = load_model(
        device=check.device, precision=precision, backend='torch'
    )
    options = Recurrence(iterations=3)
    image = torch.rand(2, 3, check.size, check.size, device=check.device)
    image = image.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        source, target = _features(check, model, 1)
        own = Features(
            torch.cat((source.matching, target.matching)),
            torch.cat((source.content, target.content)),
            (),
        )
        other = Features(own.matching.flip(0), own.content.flip(0), ())
        start = model.begin(own.matching, other.matching, options)
        encode = check.milliseconds(lambda: model.encode(image, skips=False))
        begin = check.milliseconds(
            lambda: model.begin(own.matching, other.matching, options)
        )
        whole = check.milliseconds(
            lambda: list(model.iterate(own, other, options))
        )
    assert start.field.isfinite().all()
    return {
        'precision': precision,
        'encode_ms': round(encode, 3),
        'start_ms': round(begin, 3),
        'iterations_ms': round(whole - begin, 3),
        'network_ms': check.judge('network_ms', encode + whole),
    }


def whole_match(check: Check) -> dict[str, Any]:
    """A default match from arrays to the result.

    Returns: milliseconds, also without colors, and of the stages.
    """
    (pair,) = pairs(1)
    precision = 'bf16' if check.has_bf16 else 'fp32'
    found = check.match(pair, precision=precision)
    return {
        'match_ms': check.judge(
            'match_ms',
            check.milliseconds(lambda: check.match(pair, precision=precision)),
        ),
        'stages': found.metadata['stages'],
    }


def large_batch(check: Check) -> dict[str, Any]:
    """Many pairs at once: encoding and three iterations.

    Returns: pairs per second, both images of each encoded, one direction.
    """
    precision = 'bf16' if check.has_bf16 else 'fp32'
    model = load_model(
        device=check.device, precision=precision, backend='torch'
    )
    options = Recurrence(iterations=3)
    shape = (2 * check.batch, 3, check.size, check.size)
    images = torch.rand(shape, device=check.device)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        source, target = _features(check, model, check.batch)

        def work() -> None:
            model.encode(images, skips=False)
            for _ in model.iterate(source, target, options):
                pass

        milliseconds = check.milliseconds(work)
    rate = 1000 * check.batch / milliseconds
    return {
        'batch': check.batch,
        'pairs_per_second': check.judge('pairs_per_second', rate),
    }


def fall_back(check: Check) -> dict[str, Any]:
    """A match that the memory does not suffice for goes on smaller.

    ``check``: device that is measured; nothing is done on a CPU. Returns: size
    and device that were taken, and what the user is told.
    """
    if not check.device.startswith('cuda'):
        return {'skipped': 'needs a graphics card'}
    (pair,) = pairs(1)
    total = torch.cuda.get_device_properties(check.device).total_memory
    torch.cuda.empty_cache()
    try:
        torch.cuda.set_per_process_memory_fraction(1.5e9 / total)
        found = check.match(pair, size=2048, precision='fp32')
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    told = found.metadata['warnings']
    if not told or not np.isfinite(found.flow).all():
        raise AssertionError('nothing was said, or the field is not finite')
    keys = ('size', 'device')
    return {**{key: found.metadata[key] for key in keys}, 'told': told}


def main(words: list[str] | None = None) -> int:
    """Run all parts, and print what came out.

    Returns: 1 if a part failed or a limit was not kept.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--device', default='cuda', help='torch device')
    parser.add_argument(
        '--quick', action='store_true', help='small images, one run of each'
    )
    args = parser.parse_args(words)
    quick = args.quick
    check = Check(
        args.device,
        128 if quick else 256,
        2 if quick else 64,
        1 if quick else 20,
    )
    if args.device.startswith('cuda'):
        check.result['card'] = torch.cuda.get_device_name(args.device)
    check.result['torch'] = torch.__version__
    check.run('equality', lambda: equality(check, 1 if quick else 4))
    check.run('network', lambda: network(check))
    check.run('match', lambda: whole_match(check))
    check.run('batch', lambda: large_batch(check))
    check.run('fall_back', lambda: fall_back(check))
    check.result['failed'] = check.failed
    sys.stdout.write(json.dumps(check.result, indent=1) + '\n')
    return 1 if check.failed else 0


if __name__ == '__main__':
    sys.exit(main())
