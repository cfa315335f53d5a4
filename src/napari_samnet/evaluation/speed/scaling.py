"""How the time of a match grows with iterations and pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from napari_samnet.errors import DeviceError
from napari_samnet.evaluation.interfaces import Pair
from napari_samnet.evaluation.speed.runs import (
    SpeedRequest,
    Tell,
    Variant,
    timed_run,
)
from napari_samnet.runtime.devices import resolve_execution_target
from napari_samnet.samnet.config import STRIDE

#: Iterations whose cost is listed.
COUNTS = (1, 3, 10)

#: Iterations at every working size, so that pixels alone differ.
SIZE_ITERATIONS = 3


def scaling(request: SpeedRequest, pair: Pair, tell: Tell) -> dict[str, Any]:
    """How time grows with iterations and pixels, and on what it runs.

    ``request``: what counts as the default, and which sizes are compared.
    Returns: seconds by iterations, by working size with the exponent of its
    pixels, and by device and precision (None where there is no such device).
    """
    runs = 1 if request.quick else min(3, request.repeats)

    def seconds(**changes: Any) -> float:
        options = replace(request.options, tolerance=0.0, **changes)
        variant = Variant('', '', options)
        # A first run chooses kernels; the reference is too slow for one.
        count = runs if options.reference else runs + 1
        times = [timed_run(variant, pair).seconds for _ in range(count)]
        return round(median(times[count - runs :]), 5)

    iterations: dict[str, dict[str, float]] = {}
    for count in COUNTS[:2] if request.quick else COUNTS:
        tell(f'{count} iterations')
        iterations[str(count)] = {
            'reference': seconds(iterations=count, reference=True),
            'default': seconds(iterations=count),
        }
    sizes: dict[str, dict[str, float]] = {}
    for size in request.sizes:
        tell(f'size {size}')
        sizes[str(size)] = {
            name: seconds(
                size=size,
                window=min(
                    request.options.window, size // STRIDE // 2 * 2 - 1
                ),
                iterations=min(SIZE_ITERATIONS, request.options.iterations),
                attributes=attributes,
            )
            for name, attributes in (
                ('default', request.options.attributes),
                ('correspondence_only', False),
            )
        }
    devices: dict[str, dict[str, float] | None] = {}
    for device in ('cpu', 'cuda', 'mps'):
        rows: dict[str, float] = {}
        for precision in ('fp32', 'bf16'):
            where = {'device': device, 'precision': precision}
            try:
                resolve_execution_target(device, precision, 'torch')
            except DeviceError:
                continue
            tell(f'{device} {precision}')
            rows[precision] = seconds(**where, backend='torch')
        devices[device] = rows or None
    return {
        'iterations': iterations,
        'sizes': sizes,
        'pixels_exponent': exponent(
            {int(size) ** 2: row['default'] for size, row in sizes.items()}
        ),
        'devices': devices,
    }


def exponent(seconds: Mapping[int, float]) -> float | None:
    """Fit k of seconds ~ pixels**k, by least squares on logarithms.

    ``seconds``: seconds by the number of pixels. Returns: the exponent; None
    where there are not two sizes to compare.
    """
    if len(seconds) < 2:
        return None
    pixels, times = list(seconds), list(seconds.values())
    slope, _ = np.polyfit(np.log(pixels), np.log(times), 1)
    return round(float(slope), 3)
