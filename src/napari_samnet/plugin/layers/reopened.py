"""Results of an earlier day that were saved and opened again.

A file keeps the name of a layer, but not its metadata: what it was made from
can only be told by that name and by the layers around.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from napari_samnet.plugin.layers.edits import about_layer

#: How results are named: two names with a word between, and what it is.
NAMED = re.compile(
    r'(?P<one>.+?) (?:←|→|like|over) (?P<other>.+?)'
    r'(?: confidence| flow| propagated)?(?:, stopped)?(?: \[\d+\])?'
)


def is_result(layer: Any, layers: Iterable[Any]) -> bool:
    """Tell whether a layer was made by us, today or before.

    Returns: True if its metadata say so, or if it bears the name of a result
    of another layer that is there.
    """
    if about_layer(layer):
        return True
    parts = NAMED.fullmatch(layer.name)
    if parts is None:
        return False
    names = {other.name for other in layers if other is not layer}
    return bool({parts['one'], parts['other']} & names)
