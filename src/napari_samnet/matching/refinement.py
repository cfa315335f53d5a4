"""Fields on a finer grid, with more of the pixels of large images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from napari_samnet.arrays.types import FloatArray
from napari_samnet.matching.fine import refine
from napari_samnet.warping.fields import full_map

#: Pixels of the longer side per pixel at working size from which the field
#: is refined at twice of it.
WORTH_TWICE = 1.5


def refine_large(
    small: Sequence[FloatArray],
    fields: tuple[FloatArray, FloatArray],
    confidence: FloatArray,
    *,
    specimen: bool,
    device: str,
    longest: int,
    at_size: Callable[[str, int], FloatArray],
) -> tuple[FloatArray, FloatArray, FloatArray, dict[str, Any] | None]:
    """Refine both fields, twice where the images have many more pixels.

    The second time the images are looked at with twice the working size;
    never with all of their pixels, so that time and memory are bounded.

    ``small`` (H, W, 3): source and target at working size.
    ``fields`` (h, w, 2): displacements forward and backward, in normalized
    units.
    ``confidence`` (K, 2, h, w): confidences of both fields, from 0 to 1, of K
    kinds.
    ``specimen``: whether both images show a specimen on a plain ground.
    ``device``: where the match ran. Metal does not have all the operations, so
    that the CPU does them there.
    ``longest``: longest side of the two images in pixels.
    ``at_size``: gives 'source' or 'target' at a working size.
    Returns: ``forward, backward``: the refined fields, or those given if they
    cannot be refined; ``confidence``: on the grid of the fields; ``about``:
    working size and the share of cells that were refined; None if none.
    """
    device = device if device.startswith('cuda') else 'cpu'
    refined = refine(
        small[0], small[1], *fields, specimen=specimen, device=device
    )
    if refined is None:
        return (*fields, confidence, None)
    side = small[0].shape[0]
    if longest >= WORTH_TWICE * side:
        again = refine(
            at_size('source', 2 * side),
            at_size('target', 2 * side),
            refined.forward,
            refined.backward,
            specimen=specimen,
            again=True,
            device=device,
        )
        if again is not None:
            refined, side = again, 2 * side
    grid = refined.forward.shape[:2]
    share = round(float(refined.believed.mean()), 3)
    return (
        refined.forward,
        refined.backward,
        np.stack(
            [[full_map(one, grid) for one in kind] for kind in confidence]
        ),
        {'side': side, 'share': share},
    )
