"""A saved result made again, and compared.

On the same computer with the same libraries every array comes out bit for
bit; elsewhere, the differences are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from napari_samnet.correspondence import ARRAYS, Correspondence
from napari_samnet.errors import InputError
from napari_samnet.options import MatchOptions


@dataclass(frozen=True)
class Repetition:
    """A result made again."""

    #: Result of the new match.
    result: Correspondence
    #: Largest difference of each array; of labels, the share of pixels that
    #: differ.
    differences: dict[str, float]
    #: What is not as it was, such as the version of a library.
    provenance: list[str]

    @property
    def same(self) -> bool:
        """Whether every array is the same, bit for bit."""
        return not any(self.differences.values())


def repeat(
    saved: Correspondence, source: Any, target: Any, *, labels: Any = None
) -> Repetition:
    """Match the same images in the same way as before.

    ``labels`` (array_like of int or bool): Labels of the source; warped only
    if `saved` holds warped labels.
    Returns: the new result, and what differs from the saved one.
    Raises InputError if the metadata do not say how, or the images are others.
    """
    from napari_samnet.matching.match import match

    about = saved.metadata
    options = _options(about)
    axes = {
        name: _entry(_entry(about, 'images'), name).get('channel_axis')
        for name in ('source', 'target')
    }
    if saved.warped_labels is not None and labels is None:
        raise InputError(
            'the result holds warped labels: labels are needed, as they were '
            'given then (--labels)'
        )
    again = match(
        source,
        target,
        labels=labels if saved.warped_labels is not None else None,
        source_channel_axis=axes['source'],
        target_channel_axis=axes['target'],
        **{f.name: getattr(options, f.name) for f in fields(options)},
    )
    for name in ('source', 'target'):
        before, after = (
            _entry(x['images'], name).get('digest')
            for x in (about, again.metadata)
        )
        if before != after:
            raise InputError(f'the {name} is not the image that was matched')
    if again.metadata['weights'] != about.get('weights'):
        raise InputError(
            f'these are other weights than those of the result: SHA-256 '
            f'{_entry(about, "weights").get("sha256")} was expected, got '
            f'{again.metadata["weights"]["sha256"]}'
        )
    differences = {
        name: _difference(getattr(saved, name), getattr(again, name))
        for name in ARRAYS
        if getattr(saved, name) is not None
    }
    return Repetition(again, differences, _changes(about, again.metadata))


def _entry(values: dict[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name)
    if not isinstance(value, dict):
        raise InputError(
            f'the result does not say how it was made: its metadata have no '
            f'{name!r}'
        )
    return value


def _options(about: dict[str, Any]) -> MatchOptions:
    """Options with everything resolved that was left open."""
    # Results of versions that had none of this do not say so.
    given = {
        'orientation': 'upright',
        'fine': False,
        'confidence': 'paper',
        **_entry(about, 'options'),
    }
    known = {field.name for field in fields(MatchOptions)}
    if not {*given} <= known:
        raise InputError(
            f'the result was made with options that this version does not '
            f'have: {", ".join(sorted({*given} - known))}'
        )
    options = MatchOptions(**given)
    resolved = {
        name: about[name]
        for name in ('device', 'backend', 'precision', 'size')
        if name in about
    }
    # It may have been stopped, or come to rest, before the last iteration.
    return replace(
        options,
        iterations=about.get('iterations_used', options.iterations),
        tolerance=0.0,
        **resolved,
    )


def _difference(before: Any, after: Any) -> float:
    if after is None or before.shape != after.shape:
        return float('inf')
    if np.array_equal(before, after) and before.dtype == after.dtype:
        return 0.0
    if before.dtype.kind in 'biu' and before.ndim == 2:
        return float(np.mean(before != after))
    return float(np.abs(before.astype(float) - after.astype(float)).max())


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Versions and hardware that are not as they were."""
    changes = []
    for part in ('versions', 'environment'):
        then, now = before.get(part), after[part]
        then = then if isinstance(then, dict) else {}
        for name in sorted({*then, *now}):
            one, other = then.get(name), now.get(name)
            if one != other:
                changes.append(f'{name}: {one} then, {other} now')
    return changes
