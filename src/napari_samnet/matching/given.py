"""Options of a match on features that were given."""

from __future__ import annotations

from dataclasses import replace

from napari_samnet.errors import InputError
from napari_samnet.options import MatchOptions


def checked_for_features(
    features: object, options: MatchOptions
) -> MatchOptions:
    """Options of a match on given features.

    Raises InputError if `features` cannot be called, or the options need the
    network.
    """
    if not callable(features):
        raise InputError(
            f'features must be a function from images to feature maps, got '
            f'{type(features).__name__}'
        )
    for name, allowed, needed in (
        ('reference', False, 'the decoder'),
        ('feedback', 'feature', 'the feature network'),
        ('init', 'global', 'what it has learned'),
    ):
        value = getattr(options, name)
        if value != allowed:
            raise InputError(
                f'{name} {value!r} needs {needed} of the network: leave it '
                f'at {allowed!r}, or leave out features'
            )
    if options.alikeness == 0:
        raise InputError(
            'alikeness 0 needs what the network has learned: take a number '
            'above 0, or leave out features'
        )
    if options.orientation == 'auto':
        options = replace(options, orientation='upright')
    return options
