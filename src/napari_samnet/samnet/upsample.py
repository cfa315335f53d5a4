"""A field on a finer grid, by the affine map of each cell.

A field ``T = [A | f]`` says more than where the centers of its cells go: A_i
says how the surroundings of cell i move. Bilinear interpolation of f ignores
it, and mixes motions wherever something moves against its background. Here
each place between the centers asks the four cells around it where *their*
map sends it, and hears those that say the same as the nearest one:

``T(x) = sum_k b_k(x) g_k(x) (k + f_k + A_k (x - k)) / sum_k b_k(x) g_k(x)``

with bilinear b_k and ``g_k = exp(-|T_k(x) - T_n(x)|^2 / 2 s^2)``, n the
nearest cell. One smooth motion is interpolated as ever, and two motions meet
at the border between their cells. This is not part of the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_samnet.samnet.field import grid

#: Samples a side of each cell.
SAMPLES = 4

#: s, in cells: how far apart two maps may send a place and still be of one
#: motion.
SAME_MOTION = 1.0


def sample_affine(
    field: Tensor,
    samples: int = SAMPLES,
    *,
    same_motion: float = SAME_MOTION,
) -> Tensor:
    """Displacements between the centers of the cells.

    ``field``: ``(B, 6, H, W)``.
    ``samples``: samples a side of each cell. More of them draw borders of
    motions more sharply.
    ``same_motion``: s, in cells. A larger one smooths more across borders of
    motions; with an infinite one, all four cells are heard everywhere.
    Returns: ``(B, 2, samples * H, samples * W)``, displacement in (x, y) cells
    of the field that came.
    """
    height, width = field.shape[-2:]
    size = samples * height, samples * width
    places = (grid(*size, like=field) + 0.5) / samples - 0.5
    last = places.new_tensor((width - 1, height - 1)).view(2, 1, 1)

    def sent(cells: Tensor) -> Tensor:
        """Displacement of the places by the maps of some cells."""
        x, y = cells.clamp_min(0).minimum(last).unbind()
        # Cells of a row of places are of one row, and those of a column of
        # one column: looked up so, they take a fraction of the time.
        maps = field.index_select(2, y[:, 0].long())
        maps = maps.index_select(3, x[0].long())
        dx, dy = places[0] - x, places[1] - y
        return torch.stack(
            (
                maps[:, 4] + maps[:, 0] * dx + maps[:, 1] * dy,
                maps[:, 5] + maps[:, 2] * dx + maps[:, 3] * dy,
            ),
            1,
        )

    nearest = sent((places + 0.5).floor())
    corner = places.floor()
    total = torch.zeros_like(nearest)
    weights = torch.zeros_like(nearest[:, :1])
    for down in (0, 1):
        for right in (0, 1):
            cells = corner + corner.new_tensor((right, down)).view(2, 1, 1)
            bilinear = (1 - (places - cells).abs()).prod(0)
            moved = sent(cells)
            apart = (moved - nearest).square().sum(1, keepdim=True)
            alike = torch.exp(-apart / (2 * same_motion**2))
            total += bilinear * alike * moved
            weights += bilinear * alike
    return total / weights
