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
    """One plane of each image and where its results go."""

    #: ``source``, ``target``: planes that are matched with each other.
    source: Index
    target: Index
    #: ``source_slot``, ``target_slot``: place in the arrays of the results.
    source_slot: Index
    target_slot: Index
    #: ``source_at``, ``target_at``: leading coordinates of arrows, points and
    #: shapes.
    source_at: Index
    target_at: Index

    @property
    def planes(self) -> tuple[Index, Index]:
        """The two planes, by which a match is found again."""
        return self.source, self.target


@dataclass(frozen=True)
class Request:
    """A run, captured."""

    #: ``source``, ``target``: the two images of the pair.
    source: Stack
    target: Stack
    #: What is matched, in order.
    pairs: Sequence[PlanePair]
    #: ``source_grid``, ``target_grid``: where arrays of the results live.
    source_grid: Grid
    target_grid: Grid
    #: ``source_space``, ``target_space``: where arrows, points and shapes
    #: live.
    source_space: Grid
    target_space: Grid
    #: How the planes are matched.
    options: MatchOptions
    #: What is carried to the target.
    masks: Sequence[Mask] = ()
    #: Layers to add: keys of `OUTPUTS`.
    outputs: frozenset[str] = frozenset()
    #: Largest number of arrows.
    arrows: int = 400
    #: Feature that colors the arrows.
    color: str = 'direction'
    #: Whether to show pictures on the way.
    live: bool = True
    #: Pairs of points that the fields shall meet, by planes of source and
    #: target.
    landmarks: Mapping[tuple[Index, Index], Landmarks] = field(
        default_factory=dict
    )
    #: Whether the one pair belongs to a run over several, whose layers its
    #: results go into.
    several: bool = False
    #: Whether a match of the pair will do that was given other labels.
    any_match: bool = False
    #: How the target lies turned against the source on the screen, where that
    #: is taken for its orientation.
    seen: SeenTurn | None = None
    #: What of source and of target is matched; all if None.
    regions: tuple[Region | None, Region | None] = (None, None)

    def kept(self, pair: PlanePair) -> Kept:
        """Pixels of a pair of planes that are matched; None for all."""
        source, target = self.regions
        return (
            None if source is None else source.plane(pair.source),
            None if target is None else target.plane(pair.target),
        )

    def kept_of_source(self, index: Index) -> NDArray[np.bool_] | None:
        """Pixels of a plane of the source that count; None for all."""
        region = self.regions[0]
        return None if region is None else region.plane(index)

    @property
    def images(self) -> tuple[Hashable, Hashable]:
        """Identities of the two images."""
        return self.source.uid, self.target.uid

    @property
    def has_planes(self) -> bool:
        """Whether results of several planes share their layers."""
        return self.several or len(self.pairs) > 1


@dataclass(frozen=True)
class Report:
    """Progress of a run."""

    #: ``index``, ``total``: steps done, and steps there are; a total of 0
    #: means unknown.
    index: int
    total: int
    #: What is going on.
    text: str
    #: How far the field moved in this iteration, pixels at working size.
    change: float | None = None
    #: Whether a new pair of planes begins.
    first: bool = False
    #: Transferred image and field so far, for a glance.
    picture: NDArray[np.uint8] | None = None
    #: Whether the run was cut short and only its results are to be made.
    stopped: bool = False


@dataclass(frozen=True)
class Product:
    """Data and style of a layer to be."""

    #: Type of layer, as napari writes it.
    kind: str
    #: Identifies it, so that a second run updates it.
    key: str
    #: Name of a new layer.
    name: str
    #: Data of the layer.
    data: Any
    #: Grid that the result lies on.
    grid: Grid
    #: Style of the layer.
    keywords: Mapping[str, Any]
    #: Identity of the image that it lies on.
    owner: Hashable
    #: What its metadata say.
    about: Mapping[str, Any]
    #: Labels before any are hidden for low confidence.
    full: NDArray[Any] | None = None
    #: Correspondence behind each plane of `full`.
    correspondences: Mapping[Index, Correspondence] = field(
        default_factory=dict
    )
    #: Planes of the data that it covers, by their leading coordinates; all
    #: there are if None. What an earlier run found on others stays.
    planes: tuple[Index, ...] | None = None
    #: Ids of labels that it is about; all there are if None. What an earlier
    #: run found for others stays.
    ids: frozenset[int] | None = None
    #: Identities of the two images that were matched.
    pair: tuple[Hashable, ...] = ()
    #: Planes of the data on which nothing was found of labels that were there
    #: to be carried. What an earlier run found there stays.
    missed: tuple[Index, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a run hands back."""

    #: Layers to add or update.
    products: Sequence[Product]
    #: Correspondence of each pair of planes (source, target).
    correspondences: Mapping[tuple[Index, Index], Correspondence]
    #: Whether it was stopped on the way; the products are then those of the
    #: iterations and planes done.
    cancelled: bool
    #: One line for the user.
    text: str
    #: The last correspondence found, images included.
    last: Correspondence | None = None
    #: Whether the iterations of the one pair of planes were cut short.
    partial: bool = False
    #: Whether the results can be used.
    verdict: Verdict | None = None
    #: Planes of source and target that the verdict's places lie on.
    judged: tuple[Index, Index] | None = None
    #: Planes of the source to look at, the worst first.
    worst_planes: Sequence[Index] = ()
    #: What was found for each pair of planes before it was bent to landmarks.
    unbent: Mapping[tuple[Index, Index], Correspondence] = field(
        default_factory=dict
    )


def plane_pairs(
    source: Stack, target: Stack, mode: str, at: tuple[Index, Index]
) -> tuple[list[PlanePair], Grid, Grid]:
    """Pair the planes of two images.

    Returns: ``pairs``: what to match; ``source_grid, target_grid``: where
    arrays of the results live.
    Raises InputError if the stacks cannot be paired.
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
