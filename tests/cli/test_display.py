"""Whether a window can be opened is known before one is tried."""

from __future__ import annotations

import os
import sys

import pytest

from napari_samnet.cli.display import missing_display

pytest.importorskip('napari')

linux = pytest.mark.skipif(
    not sys.platform.startswith('linux'), reason='displays of X11'
)


@linux
def test_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    assert missing_display() == 'there is no display'


@linux
def test_display_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DISPLAY', ':987')
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    assert missing_display() == 'Qt cannot use the display'


def test_offscreen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DISPLAY', ':987')
    monkeypatch.setenv('QT_QPA_PLATFORM', 'offscreen')
    reason = missing_display()
    assert reason is not None
    assert 'offscreen' in reason


@linux
@pytest.mark.slow
@pytest.mark.gui
def test_display() -> None:
    if not os.environ.get('DISPLAY'):
        pytest.skip('no display')
    assert missing_display() is None
