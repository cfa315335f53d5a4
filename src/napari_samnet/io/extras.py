"""Libraries of the extras, imported when a file needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from napari_samnet.errors import InputError


def require(module: str, what: str, *, extra: str = 'formats') -> Any:
    """Import a library of an extra.

    ``module``: name of the library to import, or of a part of it. Raises
    InputError if it is not installed; says how to.
    """
    try:
        return import_module(module)
    except ImportError:
        raise InputError(
            f'{what} need the library {module.partition(".")[0]}: pip '
            f'install "napari-samnet[{extra}]"'
        ) from None
