"""Flows and correspondences as files that napari opens and saves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.io.npz import is_archive
from napari_samnet.plugin.contributions.refusals import shown_refusals
from napari_samnet.plugin.layers.arrows import (
    arrow_style,
    arrows_of,
    field_arrows,
)
from napari_samnet.plugin.model.capture import METADATA

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str], list[LayerData]]

#: Arrows of a flow that was opened.
COUNT = 400


def flow_reader(path: str | list[str]) -> Reader | None:
    """Give a reader for a .flo file.

    Returns: None if it is not one.
    """
    if isinstance(path, str) and path.lower().endswith('.flo'):
        return _read_flow
    return None


def _read_flow(path: str) -> list[LayerData]:
    from napari_samnet.io.flo import read_flo

    flow = read_flo(path)
    arrows = field_arrows(flow, count=COUNT)
    keywords = arrow_style(arrows, 'direction')
    keywords['name'] = Path(path).stem
    keywords['metadata'] = {METADATA: {'role': 'flow', 'flow': flow}}
    return [(arrows.vectors, keywords, 'vectors')]


def correspondence_reader(path: str | list[str]) -> Reader | None:
    """Give a reader for a saved correspondence.

    Returns: None if it is another .npz file, so that others may read it.
    """
    if not isinstance(path, str) or not path.lower().endswith('.npz'):
        return None
    ours = is_archive(path, ('forward', 'backward'))
    return _read_correspondence if ours else None


def _read_correspondence(path: str) -> list[LayerData]:
    correspondence = Correspondence.load(path)
    stem = Path(path).stem
    arrows = arrows_of(correspondence, (), count=COUNT)
    keywords = arrow_style(arrows, 'direction')
    keywords['name'] = f'{stem} flow'
    about = {
        'role': 'flow',
        **correspondence.metadata,
        'correspondence': correspondence,
    }
    keywords['metadata'] = {METADATA: about}
    layers: list[LayerData] = [(arrows.vectors, keywords, 'vectors')]
    if correspondence.transferred is not None:
        image = {'name': f'{stem} transferred'}
        layers.insert(0, (correspondence.transferred, image, 'image'))
    return layers


def _behind(meta: dict[str, Any]) -> dict[str, Any]:
    """What our layer knows of the dense field behind its arrows."""
    about = meta.get('metadata', {}).get(METADATA, {})
    return about if isinstance(about, dict) else {}


def write_flow(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the dense flow behind a Vectors layer of ours.

    ``data``: the arrows, which are too few to be a flow. Raises InputError if
    there is no dense flow behind these arrows.
    """
    from napari_samnet.io.flo import write_flo

    about = _behind(meta)
    correspondence = about.get('correspondence')
    flow: NDArray[np.float32] | None = (
        correspondence.flow
        if correspondence is not None
        else about.get('flow')
    )
    with shown_refusals():
        if flow is None:
            raise InputError(
                f'only a flow of one pair of planes can be saved as .flo; '
                f'these {len(data)} arrows are not one'
            )
        return [str(write_flo(path, flow))]


def write_correspondence(
    path: str, data: Any, meta: dict[str, Any]
) -> list[str]:
    """Write the correspondence behind a Vectors layer of ours.

    Raises InputError if there is no correspondence behind these arrows.
    """
    correspondence = _behind(meta).get('correspondence')
    with shown_refusals():
        if correspondence is None:
            raise InputError(
                f'these {len(data)} arrows are not the flow of one pair of '
                'planes, so there is no correspondence to save'
            )
        return [str(correspondence.save(path))]
