"""How much memory this process has needed, and what it keeps for later."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

#: Bytes of an allocation that is freed once. On Linux, twice as much free
#: memory is kept from then on; no larger one would count.
LARGE = 31 << 20


@cache
def keep_freed_memory() -> None:
    """Let matches have the memory of the ones before, once per process.

    The allocator of Linux gives freed memory back to the system until it has
    seen a large block come and go. A match has a dozen of eight million bytes,
    and would wait for new pages in each of them, 4 % of its time.
    """
    import torch

    # Never written to, so that it takes no memory.
    torch.empty(LARGE, dtype=torch.uint8)


def peak_mb() -> float | None:
    """Largest memory of this process so far, where the system tells.

    Returns: in millions of bytes.
    """
    status = Path('/proc/self/status')
    if status.exists():
        # What getrusage tells on Linux starts at the peak of the parent.
        match = re.search(r'VmHWM:\s+(\d+) kB', status.read_text())
        return int(match[1]) * 1.024e-3 if match else None
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def reset_peak() -> None:
    """Begin to look for the largest memory from now on, where that can be."""
    with suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')
