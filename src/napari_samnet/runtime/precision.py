"""TF32 on CUDA where it is wanted, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def convolutions(device: str, *, exact: bool) -> Iterator[None]:
    """Set how convolutions of single precision are computed within.

    TF32 has the range of single precision and 10 bits of mantissa. The
    settings of the process are as before afterwards; matrix products, such
    as those of the correlation, are in full precision anyway.

    ``device``: a torch device. Nothing is set for others than CUDA. ``exact``:
    full precision instead of TF32.
    """
    if not device.startswith('cuda'):
        yield
        return
    backend = torch.backends.cudnn
    with backend.flags(
        enabled=True,
        benchmark=False,
        deterministic=exact,
        allow_tf32=not exact,
    ):
        yield
