"""Local correlation (5) as one kernel for CUDA, and whether to use it.

Importing this needs Triton, which comes with torch for CUDA on Linux. The
matrix products of :func:`~napari_samnet.samnet.correlation.local_correlation`
compute whole rows of which a band is wanted; here a program computes a block
of 16 cells against one row of the target, and writes the band alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Cells of a row that one program computes, the least of a matrix product.
BLOCK = 16

#: Channels that are multiplied at a time.
CHUNK = 64

#: Runs that are timed.
RUNS = 10

Correlation = Callable[[Tensor, Tensor, int], Tensor]


@triton.jit  # type: ignore[untyped-decorator]
def _band(  # type: ignore[no-untyped-def]
    left,
    right,
    out,
    height,
    width,
    channels,
    left_b,
    left_c,
    left_y,
    left_x,
    right_b,
    right_c,
    right_y,
    right_x,
    WINDOW: tl.constexpr,
    REACH: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Inner products of a block of cells with one row of the target."""
    first = tl.program_id(0) * BLOCK
    y = tl.program_id(1) // WINDOW
    dy = tl.program_id(1) % WINDOW
    image = tl.program_id(2)
    radius = WINDOW // 2
    x = first + tl.arange(0, BLOCK)
    there = first - radius + tl.arange(0, REACH)
    row = y + dy - radius
    inside = (there >= 0) & (there < width) & (row >= 0) & (row < height)
    total = tl.zeros((BLOCK, REACH), dtype=tl.float32)
    for start in range(0, channels, CHUNK):
        channel = start + tl.arange(0, CHUNK)
        known = channel < channels
        one = tl.load(
            left
            + image * left_b
            + y * left_y
            + x[:, None] * left_x
            + channel[None, :] * left_c,
            mask=(x < width)[:, None] & known[None, :],
            other=0.0,
        )
        other = tl.load(
            right
            + image * right_b
            + row * right_y
            + there[None, :] * right_x
            + channel[:, None] * right_c,
            mask=inside[None, :] & known[:, None],
            other=0.0,
        )
        # Single precision to the last bit: the peaks are narrow.
        total += tl.dot(one, other, input_precision='ieee')
    dx = tl.arange(0, REACH)[None, :] - tl.arange(0, BLOCK)[:, None]
    plane = image * WINDOW * WINDOW + dy * WINDOW + dx
    tl.store(
        out + (plane * height + y) * width + x[:, None],
        total,
        mask=(dx >= 0) & (dx < WINDOW) & (x < width)[:, None],
    )


def triton_correlation(source: Tensor, target: Tensor, window: int) -> Tensor:
    """Inner products with the target's features in a local window, (5).

    ``source``, ``target``: ``(B, C, H, W)`` of one dtype, on one CUDA device.
    ``window``: odd side K of the search window, in cells.
    Returns: ``(B, K*K, H, W)``, in the dtype of `source`; no gradients.
    """
    batch, channels, height, width = source.shape
    out = source.new_empty(batch, window * window, height, width)
    grid = (triton.cdiv(width, BLOCK), height * window, batch)
    _band[grid](
        source,
        target,
        out,
        height,
        width,
        channels,
        *source.stride(),
        *target.stride(),
        WINDOW=window,
        REACH=triton.next_power_of_2(BLOCK + window - 1),
        BLOCK=BLOCK,
        CHUNK=CHUNK,
    )
    return out


_CHOSEN: dict[Hashable, Correlation] = {}


def fastest(
    source: Tensor,
    target: Tensor,
    window: int,
    other: Correlation,
    *,
    seconds: Callable[[Callable[[], object]], float] | None = None,
) -> Correlation:
    """Choose between the kernel and another way, once per shape.

    ``other``: the other way. It is taken where the kernel is not faster, and
    where it cannot be compiled.
    ``seconds``: times a function; by default on the current CUDA stream.
    Returns: the kernel or `other`, whichever was faster for these shapes.
    """
    key = (
        *(source.shape, source.stride(), target.stride()),
        *(source.dtype, source.device, window),
    )
    if key in _CHOSEN:
        return _CHOSEN[key]
    if seconds is None:
        if torch.cuda.is_current_stream_capturing():
            return other
        seconds = _seconds
    try:
        triton_s = seconds(lambda: triton_correlation(source, target, window))
    except torch.OutOfMemoryError:
        raise
    except Exception:  # noqa: BLE001
        # Compilers fail in many ways, and none of them is the user's.
        triton_s = float('inf')
    torch_s = seconds(lambda: other(source, target, window))
    _CHOSEN[key] = triton_correlation if triton_s < torch_s else other
    return _CHOSEN[key]


def _seconds(work: Callable[[], object]) -> float:
    """Time of a run on the GPU, compiling not counted."""
    work()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(RUNS):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / RUNS / 1000
