"""Libraries that come with an extra of this package, or on their own."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from napari_samnet.errors import InputError, in_one_line


def require(
    module: str, what: str, *, extra: str = 'formats', package: str = ''
) -> Any:
    """Import a library that need not be installed.

    ``module``: name of the library to import, or of a part of it.
    ``what``: things in the plural that need it, such as 'regions of ImageJ'.
    ``extra``: extra of this package that installs it.
    ``package``: distribution that installs it, where no extra does.
    Raises InputError if it is not installed, with how to do that, or cannot be
    imported, with the reason.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition('.')[0]
        needs = f'{what} need the library {name}'
        if find_spec(name) is not None:
            raise InputError(
                f'{needs}, which cannot be imported: {in_one_line(error)}'
            ) from error
        wanted = package or f'"napari-samnet[{extra}]"'
        raise InputError(f'{needs}: pip install {wanted}') from None
