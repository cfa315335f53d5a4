"""One timed run of a match, and what is asked of all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.evaluation.interfaces import Pair, Protocol
from napari_samnet.matching.match import match_steps
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.feature_cache import FEATURES

Tell = Callable[[str], object]


class Variant(NamedTuple):
    """A match with other options than the default."""

    #: Key in the results.
    name: str
    #: Title of its row in the table.
    text: str
    #: Options of the match.
    options: MatchOptions
    #: Keep the features of the run before; without it both images are encoded
    #: again each time.
    cached: bool = False
    #: Make the transferred image; the fields are the same without.
    transferred: bool = True
    #: Carry four drawn labels, with outlines, as a user would.
    labeled: bool = False


@dataclass(frozen=True, kw_only=True)
class SpeedRequest:
    """What is measured, and how often."""

    #: What counts as the default.
    options: MatchOptions
    #: Brings the pairs and scores them.
    protocol: Protocol
    #: Rounds at least; every pair has one. More make medians steadier.
    repeats: int
    #: How many pairs, evenly spread over the protocol's.
    pairs: int
    #: Working sizes that are compared.
    sizes: tuple[int, ...]
    #: A few seconds instead of minutes: fewer and smaller runs, and of the
    #: baselines TV-L1 alone.
    quick: bool


class TimedRun(NamedTuple):
    """A match, and how long it took."""

    match: Correspondence
    seconds: float
    #: Sum over all cores, which other work hardly changes.
    core_seconds: float


def timed_run(variant: Variant, pair: Pair) -> TimedRun:
    """Match a pair, timed from images to the result.

    Returns: the match, and its seconds on the clock and on all cores.
    """
    if not variant.cached:
        FEATURES.clear()
    labels = drawn_labels(pair.source.shape[:2]) if variant.labeled else None
    start, cores = time.perf_counter(), time.process_time()
    steps = match_steps(
        pair.source,
        pair.target,
        variant.options,
        labels=labels,
        transferred=variant.transferred,
        carried=variant.labeled,
    )
    while True:
        try:
            next(steps)
        except StopIteration as end:
            match: Correspondence = end.value
            break
    return TimedRun(
        match, time.perf_counter() - start, time.process_time() - cores
    )


def drawn_labels(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Four labels of an image: quarters of an ellipse in its middle."""
    row, column = np.indices(shape) / np.reshape(shape, (2, 1, 1)) - 0.5
    quarter = 1 + 2 * (row > 0) + (column > 0)
    return (quarter * (np.hypot(row, column) < 0.35)).astype(np.uint8)
