"""Messages of errors as sentences for people who see the fields."""

from __future__ import annotations

from collections.abc import Mapping

from napari_samnet.plugin.widgets.fields import LABELS


def sentence(text: str, labels: Mapping[str, str] = LABELS) -> str:
    """Begin with a capital, and call parameters what the fields say.

    Names of files, which hold a dot or a slash, stay as they are.
    """
    first, _, rest = text.partition(' ')
    if first in labels:
        return f'{labels[first]} {rest}'
    if '.' in first[:-1] or '/' in first or '\\' in first:
        return text
    return text[:1].upper() + text[1:]
