"""How much memory this process has needed."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path


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
