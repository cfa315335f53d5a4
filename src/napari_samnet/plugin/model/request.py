"""What a run is asked to do, and what it hands back.

All of it is plain data, so that it can cross from one thread to the other.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.io.landmarks_csv import Landmarks
from napari_samnet.matching.region import Kept
from napari_samnet.options import MatchOptions
from napari_samnet.outputs.verdict import Verdict
from napari_samnet.plugin.model.capture import Stack
from napari_samnet.plugin.model.grids import Grid, Index, sizes
from napari_samnet.plugin.model.masks import Mask
from napari_samnet.plugin.model.regions import Region
from napari_samnet.plugin.model.remedies import PLANE, RefusalError, Remedy
from napari_samnet.plugin.model.seen import SeenTurn

__all__ = [
    'MODES',
    'OUTPUTS',
    'Outcome',
    'PlanePair',
    'Product',
    'Report',
    'Request',
    'plane_pairs',
]

#: Ways through a stack, and their texts.
MODES: dict[str, tuple[str, str]] = {
    'current': (
        'Current plane',
        'Match the planes that are shown now.',
    ),
    'pairwise': (
        'All planes, pairwise',
        'Match every plane of the source with the same plane of the target; '
        'a single image is matched with every plane of the other.',
    ),
    'propagate': (
        'Propagate labels',
        'Carry the labels of the current plane from plane to plane through '
        'the source itself. The target is not used.',
    ),
}

#: Layers that a run can add, and their texts.
OUTPUTS: dict[str, tuple[str, str]] = {
    'flow': (
        'Flow',
        'Arrows from the source to the target, on the source.',
    ),
    'labels': (
        'Warped labels',
        "The labels on the target's grid, ids and colors kept.",
    ),
    'transferred': (
        'Transferred image',
        "The source with the target's attributes.",
    ),
    'confidence': (
        'Confidence',
        'How sure the flow is, from 0 to 1, on the source.',
    ),
    'warped': (
        'Warped target',
        "The target on the source's grid.",
    ),
    'backward': (
        'Backward flow',
        'Arrows from the target to the source, on the target.',
    ),
}


@dataclass(frozen=True)
class PlanePair:
    """One plane of each image and where its results go.

    Parameters
    ----------
    source, target : tuple of int
        Planes that are matched with each other.
    source_slot, target_slot : tuple of int
        Place in the arrays of the results.
    source_at, target_at : tuple of int
        Leading coordinates of arrows, points and shapes.
    """

    source: Index
    target: Index
    source_slot: Index
    target_slot: Index
    source_at: Index
    target_at: Index


@dataclass(frozen=True)
class Request:
    """A run, captured.

    Parameters
    ----------
    source, target : Stack
        The two images of the pair.
    pairs : sequence of PlanePair
        What is matched, in order.
    source_grid, target_grid : Grid
        Where arrays of the results live.
    source_space, target_space : Grid
        Where arrows, points and shapes live.
    options : MatchOptions
        How the planes are matched.
    masks : sequence of Mask
        What is carried to the target.
    outputs : frozenset of str
        Layers to add: keys of `OUTPUTS`.
    arrows : int
        Largest number of arrows.
    color : str
        Feature that colors the arrows.
    live : bool
        Whether to show pictures on the way.
    landmarks : mapping
        Pairs of points that the fields shall meet, by planes of source and
        target.
    several : bool
        Whether the one pair belongs to a run over several, whose layers its
        results go into.
    any_match : bool
        Whether a match of the pair will do that was given other labels.
    seen : SeenTurn, optional
        How the target lies turned against the source on the screen, where
        that is taken for its orientation.
    regions : tuple of Region or None
        What of source and of target is matched; all if None.
    """

    source: Stack
    target: Stack
    pairs: Sequence[PlanePair]
    source_grid: Grid
    target_grid: Grid
    source_space: Grid
    target_space: Grid
    options: MatchOptions
    masks: Sequence[Mask] = ()
    outputs: frozenset[str] = frozenset()
    arrows: int = 400
    color: str = 'direction'
    live: bool = True
    landmarks: Mapping[tuple[Index, Index], Landmarks] = field(
        default_factory=dict
    )
    several: bool = False
    any_match: bool = False
    seen: SeenTurn | None = None
    regions: tuple[Region | None, Region | None] = (None, None)

    def kept(self, pair: PlanePair) -> Kept:
        """Pixels of a pair of planes that are matched; None for all."""
        source, target = self.regions
        return (
            None if source is None else source.plane(pair.source),
            None if target is None else target.plane(pair.target),
        )

    @property
    def has_planes(self) -> bool:
        """Whether results of several planes share their layers."""
        return self.several or len(self.pairs) > 1


@dataclass(frozen=True)
class Report:
    """Progress of a run.

    Parameters
    ----------
    index, total : int
        Steps done, and steps there are; a total of 0 means unknown.
    text : str
        What is going on.
    change : float, optional
        How far the field moved in this iteration, pixels at working size.
    first : bool
        Whether a new pair of planes begins.
    picture : ndarray of uint8, optional
        Transferred image and field so far, for a glance.
    stopped : bool
        Whether the run was cut short and only its results are to be made.
    """

    index: int
    total: int
    text: str
    change: float | None = None
    first: bool = False
    picture: NDArray[np.uint8] | None = None
    stopped: bool = False


@dataclass(frozen=True)
class Product:
    """Data and style of a layer to be.

    Parameters
    ----------
    kind : str
        Type of layer, as napari writes it.
    key : str
        Identifies it, so that a second run updates it.
    name : str
        Name of a new layer.
    data : Any
        Data of the layer.
    grid : Grid
        Grid that the result lies on.
    keywords : mapping
        Style of the layer.
    owner : hashable
        Identity of the image that it lies on.
    about : mapping
        What its metadata say.
    full : ndarray, optional
        Labels before any are hidden for low confidence.
    found : mapping
        Correspondence behind each plane of `full`.
    planes : tuple of tuple of int, optional
        Planes of the data that it covers, by their leading coordinates; all
        there are if None. What an earlier run found on others stays.
    ids : frozenset of int, optional
        Ids of labels that it is about; all there are if None. What an
        earlier run found for others stays.
    pair : tuple of hashable
        Identities of the two images that were matched.
    """

    kind: str
    key: str
    name: str
    data: Any
    grid: Grid
    keywords: Mapping[str, Any]
    owner: Hashable
    about: Mapping[str, Any]
    full: NDArray[Any] | None = None
    found: Mapping[Index, Correspondence] = field(default_factory=dict)
    planes: tuple[Index, ...] | None = None
    ids: frozenset[int] | None = None
    pair: tuple[Hashable, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a run hands back.

    Parameters
    ----------
    products : sequence of Product
        Layers to add or update.
    found : mapping
        Correspondence of each pair of planes (source, target).
    cancelled : bool
        Whether it was stopped on the way; the products are then those of the
        iterations and planes done.
    text : str
        One line for the user.
    last : Correspondence, optional
        The last correspondence found, images included.
    partial : bool
        Whether the iterations of the one pair of planes were cut short.
    verdict : Verdict, optional
        Whether the results can be used.
    judged : tuple of (tuple of int, tuple of int), optional
        Planes of source and target that the verdict's places lie on.
    worst_planes : sequence of tuple of int
        Planes of the source to look at, the worst first.
    unbent : mapping
        What was found for each pair of planes before it was bent to
        landmarks.
    """

    products: Sequence[Product]
    found: Mapping[tuple[Index, Index], Correspondence]
    cancelled: bool
    text: str
    last: Correspondence | None = None
    partial: bool = False
    verdict: Verdict | None = None
    judged: tuple[Index, Index] | None = None
    worst_planes: Sequence[Index] = ()
    unbent: Mapping[tuple[Index, Index], Correspondence] = field(
        default_factory=dict
    )


def plane_pairs(
    source: Stack, target: Stack, mode: str, at: tuple[Index, Index]
) -> tuple[list[PlanePair], Grid, Grid]:
    """Pair the planes of two images.

    Parameters
    ----------
    source, target : Stack
        The two images of the pair.
    mode : {'current', 'pairwise'}
        Way through the planes of a stack.
    at : tuple of two tuples of int
        Planes that the viewer shows now.

    Returns
    -------
    pairs : list of PlanePair
        What to match.
    source_grid, target_grid : Grid
        Where arrays of the results live.

    Raises
    ------
    InputError
        If the stacks cannot be paired.
    """
    if mode == 'current':
        here, there = at
        pair = PlanePair(
            here, there, (0,) * len(here), (0,) * len(there), here, there
        )
        return [pair], source.grid.single(here), target.grid.single(there)
    ours, theirs = source.grid.leading, target.grid.leading
    if ours and theirs and ours != theirs:
        raise RefusalError(
            f'the source has {sizes(ours)} planes, the target '
            f'{sizes(theirs)}; pairwise needs as many of both, or a single '
            'image',
            Remedy(PLANE),
        )
    pairs = [
        PlanePair(
            index if ours else (),
            index if theirs else (),
            index,
            index,
            index,
            index,
        )
        for index in np.ndindex(ours or theirs)
    ]
    return (
        pairs,
        source.grid.along(target.grid),
        target.grid.along(source.grid),
    )
