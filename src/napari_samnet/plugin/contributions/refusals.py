"""Refusals that are seen: napari says only that a writer is not valid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from napari_samnet.errors import InputError


@contextmanager
def shown_refusals() -> Iterator[None]:
    """Show what an input is refused for, and pass it on.

    Raises InputError as the code inside of it does.
    """
    try:
        yield
    except InputError as error:
        from napari.utils.notifications import show_error

        show_error(str(error))
        raise
