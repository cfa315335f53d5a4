"""The parameters that napari's preferences hold.

They are what a dock begins with; it follows them while it is open. A run
does not write to them.

napari from 0.9 gives plugins a page in its preferences, declared in the
manifest. Before that there is none, and every session starts with the
built-in defaults.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from napari_samnet.errors import InputError
from napari_samnet.options import (
    LIMITS,
    SIZE_STEP,
    MatchOptions,
    visible_defaults,
)
from napari_samnet.samnet.config import STRIDE

logger = logging.getLogger(__name__)

#: Parameters that the preferences hold.
KEPT = ('window', 'iterations', 'size', 'device', 'weights', 'attributes')

_PLUGIN, _CATEGORY = 'napari-samnet', 'matching'


def _page() -> Any:
    """Our page of the preferences, or None where there is none."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return getattr(get_plugin_settings(_PLUGIN), _CATEGORY)
    except (KeyError, AttributeError):
        # The plugin is not registered, as when it is used from a script.
        return None


def load_settings() -> dict[str, Any]:
    """Read the preferences.

    Returns: the default of every parameter, with what the preferences say. A
    value that cannot be is corrected where it is plain what was meant, else
    passed over; the others stay.
    """
    page = _page()
    values = visible_defaults()
    if page is None:
        return values
    given = {name: getattr(page, name, values[name]) for name in KEPT}
    # The working size first: it limits the window.
    for name in sorted(given, key=lambda name: name != 'size'):
        accepted = _accepted(values, name, given[name])
        if accepted != given[name]:
            logger.warning(
                'preference %s: %r is not possible, %r is used',
                name,
                given[name],
                accepted,
            )
        values[name] = accepted
    return values


def _accepted(values: Mapping[str, Any], name: str, value: Any) -> Any:
    """A value that fits the others: itself, the nearest, or the default."""
    others = dict(values)
    if name == 'size':
        # The window comes after it, and gives way.
        others['window'] = int(LIMITS['window'][0])
    for candidate in (value, _nearest(values, name, value)):
        try:
            MatchOptions(**{**others, name: candidate})
        except InputError:
            continue
        return candidate
    return values[name]


def _nearest(values: Mapping[str, Any], name: str, value: Any) -> Any:
    """The possible number that is nearest to one that is not."""
    if name not in LIMITS or not isinstance(value, (int, float)):
        return value
    low, high = LIMITS[name]
    number = round(min(max(value, low), high))
    if name == 'size':
        return SIZE_STEP * round(number / SIZE_STEP)
    if name == 'window':
        cells = values['size'] // STRIDE
        number = min(number, cells)
        return number if number % 2 else max(number - 1, int(low))
    return number


def settings_events() -> list[Any]:
    """Emitters that tell of a change of the preferences, one for each.

    Returns: empty where napari has no preferences of plugins.
    """
    page = _page()
    if page is None:
        return []
    return [getattr(page.events, name) for name in KEPT]
