"""Blocks of a grid, and threads that work on them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Tile = tuple[slice, slice]
T = TypeVar('T')

#: Pixels worked on at once by one thread: temporaries stay in the cache.
BLOCK_PIXELS = 1 << 17


def tiles(
    shape: tuple[int, int], *, side: tuple[int, ...] | None = None
) -> Iterator[Tile]:
    """Cover a grid by blocks.

    ``side``: rows and columns of a block; by default whole rows.
    """
    height, width = side or (max(1, BLOCK_PIXELS // shape[1]), shape[1])
    for left in range(0, shape[1], width):
        for top in range(0, shape[0], height):
            yield (
                slice(top, min(top + height, shape[0])),
                slice(left, min(left + width, shape[1])),
            )


def run_tiles(work: Callable[[T], None], parts: Iterable[T]) -> None:
    """Work on independent parts with one thread per core, see :func:`cores`.

    The arrays must be touched through numpy, which lets threads run side by
    side. The first exception is raised.
    """
    todo = list(parts)
    threads = min(cores(), len(todo))
    if threads < 2:
        for part in todo:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, todo):
            pass


def cores() -> int:
    """Cores this process may use, by affinity and by OMP_NUM_THREADS.

    The variable is what torch and other libraries look at as well, and how
    the workers of a batch are kept from waiting for one another.
    """
    if hasattr(os, 'sched_getaffinity'):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    limit = os.environ.get('OMP_NUM_THREADS', '')
    return (
        min(count, int(limit)) if limit.isdecimal() and int(limit) else count
    )
