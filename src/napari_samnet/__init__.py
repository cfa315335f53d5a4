"""Semantic correspondence between two images that show something alike.

The names below are loaded on first use, so that importing the package costs
nothing: neither torch nor napari is imported with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_samnet.color.look import Look
    from napari_samnet.correspondence import Correspondence
    from napari_samnet.errors import InputError
    from napari_samnet.matching.carried import CarriedLabels
    from napari_samnet.matching.carry import carry
    from napari_samnet.matching.look import learn_look
    from napari_samnet.matching.match import match, match_steps
    from napari_samnet.options import MatchOptions
    from napari_samnet.runtime.loading import load_model
    from napari_samnet.samnet.network import SAMNet
    from napari_samnet.series.propagate import Series, propagate

    __version__: str

__all__ = [
    'CarriedLabels',
    'Correspondence',
    'InputError',
    'Look',
    'MatchOptions',
    'SAMNet',
    'Series',
    '__version__',
    'carry',
    'learn_look',
    'load_model',
    'match',
    'match_steps',
    'propagate',
]

_HOMES = {
    'CarriedLabels': 'napari_samnet.matching.carried',
    'Correspondence': 'napari_samnet.correspondence',
    'InputError': 'napari_samnet.errors',
    'Look': 'napari_samnet.color.look',
    'MatchOptions': 'napari_samnet.options',
    'SAMNet': 'napari_samnet.samnet.network',
    'carry': 'napari_samnet.matching.carry',
    'learn_look': 'napari_samnet.matching.look',
    'load_model': 'napari_samnet.runtime.loading',
    'match': 'napari_samnet.matching.match',
    'match_steps': 'napari_samnet.matching.match',
    'Series': 'napari_samnet.series.propagate',
    'propagate': 'napari_samnet.series.propagate',
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it."""
    if name == '__version__':
        from importlib.metadata import version

        value: Any = version('napari-samnet')
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
