"""The parts of two images that are matched; elsewhere nothing is evidence.

A cell that is left out is compared with nothing: it has no matches, and none
of the other image's cells can match it. Its motion is that of what is around
it, and its confidence is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.checks import as_array, is_marked
from napari_samnet.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Masks = NDArray[np.bool_] | None
#: Pixels of source and target that are matched; None for all of them.
Kept = tuple[Masks, Masks]

#: Share of a cell from which on it is compared.
HALF = 0.5


def kept_parts(
    region: Any, leave_out: Any, shapes: tuple[tuple[int, int], ...]
) -> Kept:
    """Pixels that are matched.

    ``region`` (array_like of bool or int, tuple of two, or None): pixels to
    match: those that are not 0. One array is for the source; of two, the
    second is for the target, and None stands for all.
    ``leave_out`` (array_like of bool or int, tuple of two, or None): pixels to
    leave out, given in the same way.
    Returns: masks for source and target; None where all pixels are matched.
    Raises InputError if a mask has not the shape of its image, or nothing is
    left.
    """
    parts = zip(_of_both(region), _of_both(leave_out), strict=True)
    source, target = (
        kept_part(*masks, shape, image)
        for masks, shape, image in zip(
            parts, shapes, ('source', 'target'), strict=True
        )
    )
    return source, target


def kept_part(
    region: Any, leave_out: Any, shape: tuple[int, int], image: str
) -> Masks:
    """Pixels of one image that count; None if all of them do.

    ``region`` (H, W), bool or int: what counts, where it is not 0.
    ``leave_out`` (H, W), bool or int: what does not, where it is not 0.
    ``image``: what errors call the image.
    Raises InputError if a mask has not its shape, or nothing is left.
    """
    mask: Masks = None
    for name, given in (('region', region), ('leave_out', leave_out)):
        if given is None:
            continue
        one = as_array(given, name)
        if one.shape != shape:
            raise InputError(
                f'{name} must have the shape of the {image}, {shape}, got '
                f'{one.shape}'
            )
        there = is_marked(one, name)
        one = there if name == 'region' else ~there
        mask = one if mask is None else mask & one
    if mask is not None and not mask.any():
        raise InputError(
            f'nothing of the {image} is left to match: its region is empty, '
            'or all of it is left out'
        )
    return mask


def _of_both(value: Any) -> tuple[Any, Any]:
    """A value for source and target, which may be given for one."""
    if isinstance(value, (tuple, list)) and len(value) == 2:
        # A list may also be one mask, of two rows.
        masks = [part is None or np.ndim(part) == 2 for part in value]
        if isinstance(value, tuple) or all(masks):
            return value[0], value[1]
    return value, None


def small_masks(kept: Kept, side: int) -> list[NDArray[np.float32] | None]:
    """Masks at working size, as images are squashed to it.

    ``kept``: pixels of source and target that are matched, see
    :func:`kept_parts`; None for all of an image.
    ``side``: working size in pixels.
    Returns: (side, side, 3): 1 where a pixel is matched, as pictures, so that
    they can be turned.
    """
    made: list[NDArray[np.float32] | None] = []
    for mask in kept:
        if mask is None:
            made.append(None)
            continue
        at = np.ix_(
            *(
                ((2 * np.arange(side) + 1) * size) // (2 * side)
                for size in mask.shape
            )
        )
        small = mask[at].astype(np.float32)
        made.append(np.repeat(small[..., None], 3, axis=2))
    return made


def matched_shares(kept: Kept) -> dict[str, list[float]]:
    """Note which shares of both images are matched, where parts are left out.

    ``kept``: pixels that are matched, of :func:`kept_parts`.
    """
    if all(mask is None for mask in kept):
        return {}
    shares = [1.0 if mask is None else float(mask.mean()) for mask in kept]
    return {'matched_share': [round(share, 4) for share in shares]}


def cell_shares(mask: NDArray[np.float32], cells: tuple[int, int]) -> Tensor:
    """Share of each cell that is matched, ``(1, 1, h, w)``."""
    import torch
    import torch.nn.functional as F

    batch = torch.from_numpy(np.ascontiguousarray(mask[..., 0]))[None, None]
    return F.adaptive_avg_pool2d(batch, cells)


def check_cells(
    masks: Sequence[NDArray[np.float32] | None], cells: tuple[int, int]
) -> None:
    """Refuse to match where no cell of an image is left to be compared.

    ``masks``: of :func:`small_masks`, for source and target.
    Raises InputError if there is an image like that.
    """
    for image, mask in zip(('source', 'target'), masks, strict=True):
        if mask is not None and (cell_shares(mask, cells) < HALF).all():
            raise InputError(
                f'what is left of the {image} to match is smaller than a '
                f'cell, 1/{cells[0]} of its height and 1/{cells[1]} of its '
                'width: draw a larger region, or raise Detail (size)'
            )


def without(features: Tensor, mask: NDArray[np.float32] | None) -> Tensor:
    """Features ``(1, C, h, w)`` of which those left out are like none."""
    if mask is None:
        return features
    size = features.shape[-2], features.shape[-1]
    shares = cell_shares(mask, size).to(features.device)
    return features * (shares >= HALF)
