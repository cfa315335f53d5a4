"""T^0 by several motions, and the guide of the fits, once per pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.bilateral import agreement
from napari_samnet.samnet.bilateral_window import (
    BilateralWindow,
    bilateral_window,
)
from napari_samnet.samnet.cell_matches import (
    CellMatches,
    few_cells,
    match_cells,
)
from napari_samnet.samnet.correlation import all_pairs
from napari_samnet.samnet.exponentials import exp_
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import resize_field
from napari_samnet.samnet.global_affine import global_affine
from napari_samnet.samnet.hypotheses import (
    AFFINE_LEAD,
    GLOBAL_LEAD,
    LABEL_ALIKENESS,
    LABEL_SIGMA,
    Hypotheses,
    choose,
    further_affines,
    refine,
    supported,
)
from napari_samnet.samnet.least_squares import FIT_SIGMA, Guide
from napari_samnet.samnet.recurrence import Clues, Recurrence
from napari_samnet.samnet.regions import RegionMaps, region_maps


@dataclass(frozen=True)
class Start:
    """What stays the same in all iterations of a pair."""

    #: T^0, ``(B, 6, H, W)``.
    field: Tensor
    #: Windows and confidence of the fit; None for round windows.
    guide: Guide | None = None
    #: The same at half the resolution, where iterations run there.
    coarse_guide: Guide | None = None
    #: What is known of the start's reliability.
    clues: Clues | None = None

    def tensors(self) -> list[Tensor]:
        """What iterations read, in the order of :meth:`with_tensors`."""
        guides = (self.guide, self.coarse_guide)
        return [
            self.field,
            *(part for guide in guides if guide for part in guide.tensors()),
        ]

    def with_tensors(self, tensors: Sequence[Tensor]) -> Start:
        """The same with other memory, as CUDA graphs need it."""
        field, *rest = tensors
        guides: list[Guide | None] = []
        for guide in (self.guide, self.coarse_guide):
            if guide is None:
                guides.append(None)
                continue
            count = len(guide.tensors())
            guides.append(guide.with_tensors(rest[:count]))
            rest = rest[count:]
        guide, coarse_guide = guides
        return Start(field, guide, coarse_guide, self.clues)


class Gathered(NamedTuple):
    """What a start is made of, each pair of a batch on its own from here."""

    #: Features of the sources, ``(B, C, h, w)``; see :func:`few_cells`.
    few: Tensor
    #: Matches of their cells.
    matches: CellMatches
    #: Motions of regions that are known.
    regions: RegionMaps | None

    def part(self, pairs: slice) -> Gathered:
        """That of some pairs of the batch, as views."""
        regions = self.regions
        return Gathered(
            self.few[pairs],
            CellMatches(*(part[pairs] for part in self.matches)),
            regions
            and RegionMaps(
                [field[pairs] for field in regions.fields],
                regions.leads[pairs],
            ),
        )


def gathered(
    source: Tensor,
    target: Tensor,
    options: Recurrence,
    regions: Tensor | None = None,
) -> Gathered:
    """Compare all pairs of cells.

    ``source``, ``target``: matching features ``(B, C, H, W)`` of unit length
    along C.
    ``regions``: ``(K, H, W)``: shares of the cells of the first source that
    are of regions which move as one each; not looked at with one motion. The
    second of a batch is then the same pair the other way round.
    """
    few = few_cells(source.float())
    matches = match_cells(
        few, few_cells(target.float()), whole=options.whole_numbers
    )
    maps = None
    if regions is not None and options.motions > 1:
        maps = region_maps(matches, _few(regions, few))
    return Gathered(few, matches, maps)


def guided_start(
    source: Tensor,
    target: Tensor,
    options: Recurrence,
    regions: Tensor | None = None,
    found: Gathered | None = None,
) -> Start:
    """Start of a recurrence whose fits follow the object.

    ``source``, ``target``, ``regions``: the same that :func:`gathered` takes.
    ``found``: what that returns, where it is there already.
    """
    size = source.shape[-2:]
    alikeness = options.alikeness
    if found is None:
        found = gathered(source, target, options, regions)
    few, matches, known = found
    whole = options.whole_numbers
    cosines = all_pairs(few, few, whole=whole).flatten(3).flatten(1, 2)
    window = bilateral_window(
        few, sigma=FIT_SIGMA, alikeness=alikeness, cosines=cosines
    )
    support = choice = torch.ones_like(matches.confidence)
    field = global_affine(source, target, matches=matches)
    if options.motions > 1:
        chosen = _hypotheses(
            resize_field(field, *few.shape[-2:]),
            matches,
            window,
            bilateral_window(
                few,
                sigma=LABEL_SIGMA,
                alikeness=LABEL_ALIKENESS,
                cosines=cosines,
            ),
            options.motions,
            known,
        )
        field = resize_field(chosen.field, *size)
        support, choice = chosen.support, chosen.margin
    guide = Guide.of(
        source,
        matches.confidence,
        alikeness=alikeness,
        window=window if few.shape == source.shape else None,
        whole=whole,
    )
    coarse = None
    if options.coarse_iterations:
        pooled = normalize(F.avg_pool2d(source, 2))
        coarse = Guide.of(
            pooled, matches.confidence, alikeness=alikeness, whole=whole
        )
    clues = Clues(
        *(
            F.interpolate(
                clue, size=size, mode='bilinear', align_corners=False
            )
            for clue in (matches.confidence.square(), support, choice)
        )
    )
    return Start(field, guide, coarse, clues)


def _hypotheses(
    first: Tensor,
    matches: CellMatches,
    window: BilateralWindow,
    label_window: BilateralWindow,
    count: int,
    regions: RegionMaps | None,
) -> Hypotheses:
    """Motions of a pair and the one of each cell, on few cells."""
    local = supported(matches, window)
    confidence = matches.confidence.flatten(1).unsqueeze(1)
    agreed = agreement(label_window, matches.motion, local) * confidence
    further = further_affines(first, matches, agreed, count=count - 1)
    return choose(
        [refine(first, matches, window), *further],
        [GLOBAL_LEAD, *[AFFINE_LEAD] * len(further)],
        local,
        matches,
        (exp_(label_window.strips[0]), agreed),
        regions,
    )


def _few(regions: Tensor, few: Tensor) -> Tensor:
    """Shares of regions on as many cells as are compared."""
    size = few.shape[-2:]
    return F.interpolate(regions[None].to(few), size=size, mode='area')[0]
