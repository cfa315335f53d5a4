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

__all__ = ['SpeedRequest', 'Tell', 'TimedRun', 'Variant', 'timed_run']

Tell = Callable[[str], object]


class Variant(NamedTuple):
    """A match with other options than the default.

    Parameters
    ----------
    name : str
        Key in the results.
    text : str
        Title of its row in the table.
    options : MatchOptions
        Options of the match.
    cached : bool
        Keep the features of the run before; without it both images are
        encoded again each time.
    transferred : bool
        Make the transferred image; the fields are the same without.
    """

    name: str
    text: str
    options: MatchOptions
    cached: bool = False
    transferred: bool = True


@dataclass(frozen=True, kw_only=True)
class SpeedRequest:
    """What is measured, and how often.

    Parameters
    ----------
    options : MatchOptions
        What counts as the default.
    protocol : Protocol
        Brings the pairs and scores them.
    repeats : int
        Rounds at least; every pair has one. More make medians steadier.
    pairs : int
        How many pairs, evenly spread over the protocol's.
    sizes : tuple of int
        Working sizes that are compared.
    quick : bool
        A few seconds instead of minutes: fewer and smaller runs, and of the
        baselines TV-L1 alone.
    """

    options: MatchOptions
    protocol: Protocol
    repeats: int = 3
    pairs: int = 3
    sizes: tuple[int, ...] = (128, 256, 512, 1024)
    quick: bool = False


class TimedRun(NamedTuple):
    """A match, and how long it took."""

    match: Correspondence
    seconds: float
    #: Sum over all cores, which other work hardly changes.
    core_seconds: float


def timed_run(variant: Variant, pair: Pair) -> TimedRun:
    """Match a pair, timed from images to the result.

    Parameters
    ----------
    variant : Variant
        With which options, and whether features are kept.
    pair : Pair
        Of which the source and the target are matched.

    Returns
    -------
    TimedRun
        The match, and its seconds on the clock and on all cores.
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
