"""Libraries of the extras, imported when a file needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from napari_samnet.errors import InputError

__all__ = ['require']


def require(module: str, what: str, *, extra: str = 'formats') -> Any:
    """Import a library of an extra.

    Parameters
    ----------
    module : str
        Name of the library to import, or of a part of it.
    what : str
        What needs it, in the plural, for the message.
    extra : str
        Extra of this package that brings it along.

    Returns
    -------
    module
        The imported library.

    Raises
    ------
    InputError
        If it is not installed; says how to.
    """
    try:
        return import_module(module)
    except ImportError:
        raise InputError(
            f'{what} need the library {module.partition(".")[0]}: pip '
            f'install "napari-samnet[{extra}]"'
        ) from None
