"""One timed run of a match, and what is asked of all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

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


@dataclass(frozen=True, kw_only=True)
class SpeedRequest:
    """What is measured, and how often."""

    #: What counts as the default.
    options: MatchOptions
    #: Brings the pairs and scores them.
    protocol: Protocol
    #: Rounds at least; every pair has one. More make medians steadier.
    repeats: int = 3
    #: How many pairs, evenly spread over the protocol's.
    pairs: int = 3
    #: Working sizes that are compared.
    sizes: tuple[int, ...] = (128, 256, 512, 1024)
    #: A few seconds instead of minutes: fewer and smaller runs, and of the
    #: baselines TV-L1 alone.
    quick: bool = False


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
    start, cores = time.perf_counter(), time.process_time()
    steps = match_steps(
        pair.source,
        pair.target,
        variant.options,
        transferred=variant.transferred,
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
