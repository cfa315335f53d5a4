"""What the widget remembers from one session to the next.

napari from 0.9 gives plugins a page in its preferences, declared in the
manifest. Before that there is none, and every session starts with the
built-in defaults.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from napari_samnet.errors import InputError
from napari_samnet.options import MatchOptions, seen_defaults

__all__ = ['KEPT', 'load_settings', 'save_settings']

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
    """Read the remembered parameters.

    Returns
    -------
    dict
        The default of every parameter, with what the preferences say. They
        are passed over as a whole if they do not fit together.
    """
    page = _page()
    values = seen_defaults()
    if page is None:
        return values
    values |= {name: getattr(page, name) for name in KEPT}
    try:
        MatchOptions(**values)
    except InputError as error:
        logger.warning('preferences are not used: %s', error)
        return seen_defaults()
    return values


def save_settings(values: Mapping[str, Any]) -> None:
    """Remember parameters.

    Parameters
    ----------
    values : mapping
        Value by name; those the preferences do not hold are passed over.
    """
    page = _page()
    if page is None:
        return
    for name in KEPT:
        if name in values and getattr(page, name) != values[name]:
            setattr(page, name, values[name])
