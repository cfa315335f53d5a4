"""Torch is imported in the worker, and the window goes on."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from napari_samnet.plugin.run.loading import load_torch, map_libraries

APART = """
import gc, sys
from napari_samnet.plugin.run.loading import load_torch, map_libraries
assert 'torch' not in sys.modules
mapped = map_libraries()
assert 'torch' not in sys.modules
assert mapped == sys.platform.startswith(('linux', 'darwin')), mapped
searches = []
gc.callbacks.append(lambda phase, info: searches.append(info['generation']))
load_torch()
assert 'torch' in sys.modules
assert 2 not in searches, searches
assert gc.isenabled()
assert gc.get_freeze_count() == 0
"""


@pytest.mark.slow
def test_torch_is_loaded_without_a_full_search_for_waste() -> None:
    # In a process of its own, where torch is not loaded yet.
    subprocess.run([sys.executable, '-c', APART], check=True, timeout=120)


REUSED = """
import sys, threading
from qtpy.QtCore import QCoreApplication, QRunnable, QThreadPool
from napari_samnet.plugin.run.loading import load_torch

class Run(QRunnable):
    def __init__(self, work):
        super().__init__()
        self.setAutoDelete(False)
        self.work = work

    def run(self):
        threads.add(threading.get_native_id())
        self.work()

def look():
    import torch
    # A view that outlives Python's name of what it is a view of.
    for _ in range(9):
        whole = torch.zeros(9)
        part = whole[2:5]
        del whole, part

threads = set()
application = QCoreApplication([])
pool = QThreadPool()
pool.setMaxThreadCount(1)
runs = [Run(load_torch), Run(look), Run(look)]
for run in runs:
    pool.start(run)
assert pool.waitForDone(100_000)
assert len(threads) == 1, threads
assert 'torch' in sys.modules
"""


@pytest.mark.slow
def test_a_thread_of_qt_can_use_torch_again() -> None:
    subprocess.run([sys.executable, '-c', REUSED], check=True, timeout=120)


def test_whoever_turned_the_collector_off_keeps_it_off() -> None:
    pytest.importorskip('torch')
    gc.disable()
    try:
        load_torch()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_without_the_libraries_nothing_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('napari_samnet.plugin.run.loading.LIBRARIES', {})
    assert not map_libraries()
