"""Rows of large matrices that are computed at a time."""

from __future__ import annotations

import torch

#: Rows at a time on the CPU, so that what is computed of a thousand columns
#: stays in the cache of a core.
BLOCK_ROWS = 128


def row_blocks(count: int, device: torch.device) -> list[slice]:
    """Rows that are computed at a time, of `count` in all."""
    step = BLOCK_ROWS if device.type == 'cpu' else max(1, count)
    return [slice(start, start + step) for start in range(0, count, step)]
