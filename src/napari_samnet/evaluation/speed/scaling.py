"""How the time of a match grows with what it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from napari_samnet.errors import DeviceError
from napari_samnet.evaluation.benchmark import Pair
from napari_samnet.evaluation.speed.models import Models, Variant
from napari_samnet.evaluation.speed.variants import run_variant
from napari_samnet.images.rgb import to_working
from napari_samnet.runtime.devices import resolve_place

__all__ = ['Scaling', 'exponent']


class Scaling:
    """How time grows with iterations, pixels, and on what it runs.

    Parameters
    ----------
    known : mapping of str to Variant
        All variants.
    models : Models
        Where networks are kept.
    pair : Pair
        What is matched.
    runs : int
        That medians are taken over.
    tell : callable
        Told what is done next.
    """

    def __init__(
        self,
        known: Mapping[str, Variant],
        models: Models,
        pair: Pair,
        *,
        runs: int,
        tell: Callable[[str], object],
    ) -> None:
        self._known = known
        self._models = models
        self._pair = pair
        self._runs = runs
        self._tell = tell

    def _seconds(self, variant: Variant) -> float:
        size = variant.options.size
        small = (
            to_working(self._pair.source, size=size),
            to_working(self._pair.target, size=size),
        )
        once = replace(variant, options=replace(variant.options, iterations=1))
        run_variant(self._models, once, small, small[0])
        # The reference takes longer than everything else together.
        runs = 1 if variant.name == 'reference' else self._runs
        return round(
            median(
                run_variant(self._models, variant, small, small[0]).seconds
                for _ in range(runs)
            ),
            5,
        )

    def iterations(self, counts: Sequence[int]) -> dict[str, dict[str, float]]:
        """Seconds by the number of iterations, without early stop.

        Parameters
        ----------
        counts : sequence of int
            The numbers.

        Returns
        -------
        dict of dict
            By count and variant.
        """
        found: dict[str, dict[str, float]] = {}
        for count in counts:
            self._tell(f'{count} iterations')
            found[str(count)] = {
                name: self._seconds(
                    replace(
                        self._known[name],
                        options=replace(
                            self._known[name].options,
                            iterations=count,
                            tolerance=0.0,
                        ),
                    )
                )
                for name in ('reference', 'channels_last', 'default')
            }
        return found

    def sizes(self, sizes: Sequence[int]) -> dict[str, dict[str, float]]:
        """Seconds by the working size, of at most three iterations.

        Parameters
        ----------
        sizes : sequence of int
            The sizes.

        Returns
        -------
        dict of dict
            By size and variant.
        """
        found: dict[str, dict[str, float]] = {}
        for size in sizes:
            self._tell(f'size {size}')
            found[str(size)] = {
                name: self._seconds(
                    replace(
                        self._known[name],
                        options=replace(
                            self._known[name].options,
                            size=size,
                            window=min(
                                self._known[name].options.window,
                                size // 8 // 2 * 2 - 1,
                            ),
                            # Of one length, so that pixels alone differ.
                            iterations=min(
                                3, self._known[name].options.iterations
                            ),
                            tolerance=0.0,
                        ),
                    )
                )
                for name in ('default', 'correspondence_only')
            }
        return found

    def devices(self) -> dict[str, Any]:
        """Seconds of the default by device and precision.

        Returns
        -------
        dict of dict
            None for a device that is not there.
        """
        found: dict[str, Any] = {}
        for device in ('cpu', 'cuda', 'mps'):
            rows: dict[str, float] = {}
            for precision in ('fp32', 'bf16'):
                try:
                    options = replace(
                        self._known['default'].options,
                        device=device,
                        precision=precision,
                        backend='torch',
                    )
                    resolve_place(device, precision, 'torch')
                except DeviceError:
                    continue
                self._tell(f'{device} {precision}')
                rows[precision] = self._seconds(
                    replace(self._known['default'], options=options)
                )
            found[device] = rows or None
        return found


def exponent(seconds: Mapping[int, float]) -> float | None:
    """k of seconds ~ pixels**k, by least squares on logarithms.

    Parameters
    ----------
    seconds : mapping of int to float
        By pixels.

    Returns
    -------
    float or None
        None where there are not two to compare.
    """
    if len(seconds) < 2:
        return None
    slope, _ = np.polyfit(
        np.log(list(seconds)), np.log(list(seconds.values())), 1
    )
    return round(float(slope), 3)
