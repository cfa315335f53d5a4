"""Import torch in the worker without holding up the window.

Importing it takes seconds and, done plainly, stops every thread for most of
one: its libraries are mapped under Python's lock, and Python's collector
goes through all that napari and torch hold, several times.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

#: Torch's own code without its Python part, which needs the lock.
LIBRARIES = {'linux': 'libtorch.so', 'darwin': 'libtorch.dylib'}


def load_torch() -> None:
    """Import torch, and what matching needs of it."""
    with _collector_at_rest():
        if 'torch' in sys.modules:
            _import()
            return
        map_libraries()
        # torch up to 2.7 at least keeps Python's state of the thread that
        # imports it. Qt's threads have another one in each run, and a later
        # run would end the process; this thread goes, and its state with it.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(_import).result()


def _import() -> None:
    import napari_samnet.matching.match
    import napari_samnet.samnet.network  # noqa: F401


def map_libraries() -> bool:
    """Map torch's libraries while other threads go on.

    Returns: whether it worked. If not, importing torch does it, only less
    smoothly.
    """
    name = LIBRARIES.get(sys.platform)
    spec = importlib.util.find_spec('torch')
    if name is None or spec is None or spec.origin is None:
        return False
    path = Path(spec.origin).parent / 'lib' / name
    # Unlike loading through ctypes, calling through it gives up the lock.
    system = ctypes.CDLL(None)
    system.dlopen.argtypes = (ctypes.c_char_p, ctypes.c_int)
    system.dlopen.restype = ctypes.c_void_p
    flags = os.RTLD_NOW | os.RTLD_LOCAL
    return bool(path.exists() and system.dlopen(os.fsencode(path), flags))


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Create very many objects that stay without searching them for waste."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        # Makes them old at once; otherwise the next search takes them all.
        gc.freeze()
        gc.unfreeze()
        gc.enable()
