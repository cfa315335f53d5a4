"""Whether a window can be opened, found out without risking the process.

Qt ends the process when it finds no display, so another process tries.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

_TRY = 'from qtpy.QtWidgets import QApplication; QApplication([])'


def missing_display() -> str | None:
    """Say why napari cannot open a window here.

    Returns: the reason, or None if it can.
    """
    if find_spec('napari') is None:
        return 'napari is not installed'
    if not any(find_spec(name) for name in ('PyQt6', 'PySide6', 'PyQt5')):
        return 'there is no Qt binding'
    displays = ('DISPLAY', 'WAYLAND_DISPLAY')
    x11 = sys.platform.startswith('linux')
    if x11 and not any(os.environ.get(name) for name in displays):
        return 'there is no display'
    if os.environ.get('QT_QPA_PLATFORM', '').startswith(
        ('offscreen', 'minimal')
    ):
        return 'Qt draws offscreen, where napari cannot show a viewer'
    try:
        tried = subprocess.run(
            [sys.executable, '-c', _TRY],
            capture_output=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 'the display does not answer'
    return None if tried.returncode == 0 else 'Qt cannot use the display'
