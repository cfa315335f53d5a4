"""Motions of regions that are known to move as one, such as labels.

Where somebody has drawn an object, the matches within its outline say how it
moves, and those of its surroundings do not. Each region of the first image
becomes a hypothesis: an affine map, fitted robustly to the matches inside.
Its own cells take it; on the way back, cells of the second image choose its
inverse by support like any other map. This is not part of the paper.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from napari_samnet.samnet.cell_matches import CellMatches
from napari_samnet.samnet.field import affine_field, flow_of, grid
from napari_samnet.samnet.robust_affine import robust_affine

#: Share of a cell that must be of the region for it to be its own.
FILLED = 0.5

#: Lead of a region's map in its own cells, and lag in all others.
REGION_LEAD = 3.0

#: Lead of the inverse map in the second image.
INVERSE_LEAD = 0.1

#: Share of the region's matches, by confidence, that must agree with its map
#: for it to be taken, and the width of a residual for this, in cells.
LEAST_SUPPORT, RESIDUAL_CELLS = 0.2, 2.0

#: Least area of a region in cells, and what a unit of area may become.
LEAST_CELLS, AREAS = 4, (0.1, 10.0)


class RegionMaps(NamedTuple):
    """Hypotheses for regions."""

    #: ``(B, 6, h, w)``, one for each region that moves as one.
    fields: list[Tensor]
    #: ``(B, h*w, K)``: what is added to the support of each.
    leads: Tensor


def region_maps(matches: CellMatches, regions: Tensor) -> RegionMaps:
    """Fit a map to each region.

    ``matches``: of single cells: of the image that the regions lie
    in, and of the other one if there are two.
    ``regions``: ``(K, h, w)``, which share of each cell is of the region.
    Returns: without regions that are too small, or whose matches do not agree.
    """
    batch, _, height, width = matches.motion.shape
    confidence = matches.confidence[0].flatten()
    cells = grid(height, width, matches.motion).flatten(1)
    positions = cells + matches.motion[:1].flatten(2)
    fields, leads = [], []
    for share in regions.flatten(1):
        inside = share > FILLED
        if int(inside.sum()) < LEAST_CELLS:
            continue
        weight = confidence * inside
        total = weight.sum().clamp_min(1e-9)
        matrix = robust_affine(
            cells,
            positions,
            weight[None],
            middle=(cells @ weight / total)[:, None],
            scale=max(height, width) / 2,
        )[0]
        area = float(matrix[:, :2].det().abs())
        if not AREAS[0] < area < AREAS[1]:
            continue
        there = affine_field(matrix[None], height, width)
        apart = (flow_of(there) - matches.motion[:1]).square().sum(1)
        close = torch.exp(-apart.flatten() / (2 * RESIDUAL_CELLS**2))
        if float(weight @ close) < LEAST_SUPPORT * float(weight.sum()):
            continue
        lead = torch.where(inside, REGION_LEAD, -REGION_LEAD)[None]
        if batch > 1:
            linear = matrix[:, :2].inverse()
            back = torch.cat((linear, -linear @ matrix[:, 2:]), 1)
            there = torch.cat((there, affine_field(back[None], height, width)))
            lead = torch.cat((lead, torch.full_like(lead, INVERSE_LEAD)))
        fields.append(there)
        leads.append(lead)
    if not leads:
        empty = confidence.new_zeros(batch, height * width, 0)
        return RegionMaps([], empty)
    return RegionMaps(fields, torch.stack(leads, -1))
