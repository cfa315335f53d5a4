"""How results that hold arrays are printed: a line, not their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

#: Letters after which a value is not worth a line.
LONGEST = 60


def brief(result: Any) -> str:
    """Name the fields of a dataclass; of arrays their shape and type.

    ``result``: an instance, whose class takes this for its ``__repr__``.
    """
    told = ', '.join(
        f'{field.name}={in_brief(getattr(result, field.name))}'
        for field in fields(result)
        if field.repr
    )
    return f'{type(result).__name__}({told})'


def in_brief(value: Any) -> str:
    """A value, or of what is large its kind and size."""
    if isinstance(value, np.ndarray):
        return f'<{value.shape} {value.dtype}>'
    text = '' if isinstance(value, Mapping) else repr(value)
    if 0 < len(text) <= LONGEST:
        return text
    count = f' of {len(value)}' if hasattr(value, '__len__') else ''
    return f'<{type(value).__name__}{count}>'
