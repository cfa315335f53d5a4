"""Two parts of a match that do not need each other, at the same time.

Each of them is a long row of small operations, of which two cores share a
single one badly, and a part each well.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from napari_samnet.arrays.tiles import cores

A = TypeVar('A')
B = TypeVar('B')


def has_room(device: str) -> bool:
    """Whether two things are done at once by :func:`side_by_side`.

    ``device``: where both would compute.
    """
    import torch

    threads = min(torch.get_num_threads(), cores())
    return device == 'cpu' and threads >= 2


def side_by_side(
    first: Callable[[], A], second: Callable[[], B], *, device: str = 'cpu'
) -> tuple[A, B]:
    """Do two things, on two cores where there are two.

    ``first``: done in a thread of its own. Modes of torch that belong to a
    thread, such as that of inference, are not those of the caller there.
    ``second``: done in the thread of the caller.
    ``device``: where both compute; on another than the CPU, one after the
    other.
    Returns: what both return. What either raises is raised, when both have
    come to an end.
    """
    import torch

    if not has_room(device):
        return first(), second()
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1) as pool:
        # Threads that begin now take this number over.
        torch.set_num_threads(threads // 2)
        try:
            beside = pool.submit(first)
            result = second()
            return beside.result(), result
        finally:
            torch.set_num_threads(threads)


def on_all_cores(
    part: Callable[[int], A], count: int, *, device: str = 'cpu'
) -> list[A]:
    """Do alike parts, two at a time where there are two cores.

    ``part``: takes the number of a part. ``count``: how many there are.
    Returns: what the parts return, in their order.
    """

    def some(first: int) -> list[A]:
        return [part(number) for number in range(first, count, 2)]

    odd, even = side_by_side(lambda: some(1), lambda: some(0), device=device)
    return [(even, odd)[number % 2][number // 2] for number in range(count)]
