"""Colors of the target for the source, at working size.

The paper shows the image that its decoder paints; here that image serves the
recurrence alone, and the one that is shown is made as follows, which is ours.

The target's own pixels, warped onto the source by the field, show what every
place ought to look like, but neither sharply nor everywhere: the field is
smooth, and some of the source has no match. So a change of color is fitted
to them, weighted by the confidence of the match, and the source's own pixels
are put through it. The pair decides which:

- Where both images show the same scene, a mixture of affine maps of color,
  one for each of a few classes of alike colors of the source, which vary
  over the image. Every map is drawn to the one that its class has in the
  whole image, and this to the one of all colors: what lies side by side and
  differs in color does not mix, and a part without a match is given the
  colors that pixels like it take elsewhere. What the maps cannot express,
  such as light that changes within an object, is added where the match is
  sure, smoothly and without pixels that look mismatched. With the source in
  these colors the field is made exact to a part of a pixel, the maps are
  fitted once more, and what they still cannot express, such as grain or
  blur, is the rest that is left to be added.
- Where they show different things of one kind, no pixel of one belongs to a
  pixel of the other. There only the color statistics of wide neighborhoods
  are carried over, which keep contrast and structure.

How far the color statistics of narrow neighborhoods explain the target's
pixels tells the one from the other, region by region.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_samnet.arrays.resize import resized
from napari_samnet.color.classes import ColorClasses
from napari_samnet.color.guided_affine import apply_at_native
from napari_samnet.color.local_statistics import statistical_picture
from napari_samnet.color.lucas_kanade import aligned, sampled
from napari_samnet.errors import InputError
from napari_samnet.warping.fields import Mapping

__all__ = ['Recolored', 'recolored']

FloatArray = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]

#: The model is fitted to images of at most this many pixels a side.
FIT_SIDE = 128

#: Classes of alike colors, and cells a side of the grid of their maps.
CLASSES = 8
CELLS = 16

#: Width of the neighborhood of a map, in cells.
NEIGHBORHOOD = 1.0

#: Pull towards the map of the class in the whole image, and of this towards
#: the map of all colors, in shares of the mean mass of a cell or class.
LOCAL_PULL = 0.05
CLASS_PULL = 0.02

#: Variance of color below which a map is not told apart from a shift.
PLAIN = 1e-3

#: Correction: width in pixels of the fit, error at which a pixel counts half,
#: and the confidence at which half of it is made.
CORRECTION = 1.5
MISMATCH = 0.1
SURE = 0.1

#: Width in pixels of the neighborhoods whose color statistics tell the
#: same scene from another, and of those that are given to another; and the
#: weight of the whole image in them.
NARROW = (8.0, 0.1)
WIDE = (16.0, 0.3)

#: Where both images show the same scene: blur and width of the region, in
#: pixels, weight of the whole image, and the share of the target's variance
#: that color statistics explain, from which and up to which it is believed.
SOFT = 1.5
REGION = 12.0
ANCHOR = 0.3
UNLIKE = 0.5
ALIKE = 0.7

#: Share of the image that must show the same scene for pixels to be matched
#: exactly, and the least side in pixels for which it is worth it. Then,
#: confidence from which they are believed in full, difference of color at
#: which they count half, widths in pixels of the blurs between which detail
#: lies, and the correlation of the detail of both images from which and up
#: to which it is believed to be of the same thing.
SAME_SCENE = 0.05
SMALLEST = 32
TRUSTED = 0.2
UNEQUAL = 0.15
FINE, COARSE = 1.0, 4.0
RELATED, IDENTICAL = 0.74, 0.82


class Recolored(NamedTuple):
    """A small image before and after, and what finer detail there is.

    Attributes
    ----------
    before, after : ndarray of float32, shape (at most 128, at most 128, 3)
        Pictures in the range 0 to 1.
    rest : ndarray of float32, shape (h, w, 3), or None
        To be added to the image that the two lead to. None unless both
        images show the same scene.
    """

    before: FloatArray
    after: FloatArray
    rest: FloatArray | None


def recolored(
    source: npt.ArrayLike,
    target: npt.ArrayLike,
    field: FloatArray,
    weight: npt.ArrayLike,
) -> Recolored:
    """The source, and what it looks like in the target's colors, both small.

    Parameters
    ----------
    source, target : array_like of float, shape (h, w, 3)
        Both images at working size, in [0, 1].
    field : ndarray of float32, shape (rows, columns, 2)
        Displacement (row, column) from source to target in normalized units,
        on a grid of cells over the source.
    weight : array_like, shape (rows, columns)
        Confidence of each of its cells, from 0 to 1.

    Returns
    -------
    Recolored
        For :func:`~napari_samnet.color.guided_affine.transfer_colors`.

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    own = np.asarray(source, np.float32)
    other = np.asarray(target, np.float32)
    for name, image in (('source', own), ('target', other)):
        if image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(
                f'the small {name} must have shape (h, w, 3), got '
                f'{image.shape}'
            )
    trust = np.clip(np.asarray(weight, np.float64), 0, 1)
    if trust.ndim != 2 or trust.shape != field.shape[:2] or not trust.size:
        raise InputError(
            f'weight must have shape {field.shape[:2]}, got {trust.shape}'
        )
    shape = own.shape[0], own.shape[1]
    small = min(shape[0], FIT_SIDE), min(shape[1], FIT_SIDE)
    before = resized(own.astype(np.float64), *small)
    trust = resized(trust[..., None], *small)[..., 0]
    mapping = Mapping(field, shape, (other.shape[0], other.shape[1]))
    places = mapping.positions(slice(0, shape[0]))
    after, share = _shown(other, places, trust)

    near, calm = (
        statistical_picture(before, after, share, width=width, anchor=anchor)
        for width, anchor in (NARROW, WIDE)
    )
    same = _agreement(after, near, share)[..., None]

    member = (
        ColorClasses.of(before, count=CLASSES).shares(before)
        if same.any()
        else None
    )

    def picture() -> FloatArray:
        found = calm
        if member is not None:
            exact = _exact(before, after, member, share)
            found = calm + same * (exact - calm)
        return np.clip(found, 0, 1).astype(np.float32)

    small_source = before.astype(np.float32)
    found = picture()
    if min(*shape, *other.shape[:2]) < SMALLEST or same.mean() < SAME_SCENE:
        return Recolored(small_source, found, None)
    like = apply_at_native(own, small_source, found)
    places = aligned(like, other, places)
    after, share = _shown(other, places, trust)
    found = picture()
    sure = resized(same * np.minimum(1, share / TRUSTED)[..., None], *shape)
    like = apply_at_native(own, small_source, found)
    rest = _believed(like, sampled(other, places), sure)
    return Recolored(small_source, found, rest)


def _shown(
    target: FloatArray, places: FloatArray, trust: Array
) -> tuple[Array, Array]:
    """The target on the source's grid, and how much each pixel counts.

    Both at the size of `trust`, float64.
    """
    size = trust.shape
    seen = resized(sampled(target, places).astype(np.float64), *size)
    last = np.array(target.shape[:2]).reshape(2, 1, 1) - 0.5
    within = np.logical_and(places >= -0.5, places <= last)
    inside = np.all(within, axis=0, keepdims=True).astype(np.float64)
    share = resized(np.moveaxis(inside, 0, -1), *size)[..., 0]
    return seen, np.maximum(share * trust, 1e-6)


def _believed(
    picture: FloatArray, seen: FloatArray, sure: Array
) -> FloatArray | None:
    """What is seen beyond the picture, where both are alike in detail.

    Two things of one kind may be alike in every part but the details. Those
    of the target are then its structure, not its look.
    """
    shape = picture.shape[0], picture.shape[1]
    fine, other = (_soft(x, FINE) - _soft(x, COARSE) for x in (picture, seen))
    parts = [
        (sure * a * b).sum(axis=-1)
        for a, b in ((fine, other), (fine, fine), (other, other))
    ]
    small = [min(side, FIT_SIDE) for side in shape]
    sums = resized(np.stack(parts, axis=-1), *small)
    sums = _near(sums) + ANCHOR * sums.mean(axis=(0, 1))
    alike = sums[..., :1] / (np.sqrt(sums[..., 1:2] * sums[..., 2:]) + 1e-12)
    alike = np.clip((alike - RELATED) / (IDENTICAL - RELATED), 0, 1)
    if not alike.any():
        return None
    rest = seen - picture
    wrong = np.square(_soft(rest)).sum(-1, keepdims=True) / UNEQUAL**2
    share = sure * resized(alike, *shape) / (1 + wrong)
    return np.asarray(_soft(share) * rest, np.float32)


def _soft(
    values: npt.NDArray[np.floating], width: float = SOFT
) -> npt.NDArray[np.floating]:
    """Values (h, w, K) without the finest detail."""
    return np.asarray(
        ndimage.gaussian_filter(
            values, width, mode='nearest', axes=(0, 1), truncate=3.0
        )
    )


def _agreement(after: Array, found: Array, share: Array) -> Array:
    """How far to believe that both images show the same scene: (h, w)."""
    values = [_soft(x) for x in (after, found)]
    weight = share[..., None]
    mean = _near(weight * values[0]) / (_near(weight) + 1e-9)
    total = (share / share.mean()) * np.square(values[0] - mean).sum(-1)
    wrong = (share / share.mean()) * np.square(values[0] - values[1]).sum(-1)
    total, wrong = (
        _near(x[..., None])[..., 0] + ANCHOR * x.mean() for x in (total, wrong)
    )
    explained = 1 - wrong / (total + PLAIN)
    return np.clip((explained - UNLIKE) / (ALIKE - UNLIKE), 0, 1)


def _near(values: Array) -> Array:
    """Mean (h, w, K) of the neighborhood of each pixel."""
    return np.asarray(
        ndimage.gaussian_filter(values, REGION, mode='nearest', axes=(0, 1))
    )


def _exact(before: Array, after: Array, member: Array, share: Array) -> Array:
    """Colors by a mixture of maps, corrected where the match is sure."""
    found = _apply(_maps(before, after, member, share), member, before)
    wrong = np.square(after - found).sum(-1) / MISMATCH**2
    sure = (share / (1 + wrong))[..., None]
    parts = np.concatenate([sure * (after - found), sure], axis=-1)
    parts = ndimage.gaussian_filter(
        parts, CORRECTION, mode='nearest', axes=(0, 1)
    )
    return np.asarray(found + parts[..., :3] / (parts[..., 3:] + SURE))


def _maps(before: Array, after: Array, member: Array, share: Array) -> Array:
    """Affine map (r, c, K, 4, 3) of each class in each cell of a grid."""
    count = member.shape[-1]
    grid = tuple(min(side, CELLS) for side in before.shape[:2])
    one = np.concatenate([before, np.ones_like(before[..., :1])], axis=-1)
    # Second moments of colors before, and of those before with those after.
    moments = (
        one[..., :, None] * np.concatenate([one, after], axis=-1)[..., None, :]
    )
    moments = moments.reshape(*share.shape, 28)
    moments *= (share / share.mean())[..., None]
    # By far the largest array here: in single precision it takes half as long.
    moments, single = moments.astype(np.float32), member.astype(np.float32)
    mixed = single[..., :, None] * moments[..., None, :]
    cells = resized(mixed.reshape(*share.shape, count * 28), *grid)
    cells = cells.astype(np.float64)
    near = ndimage.gaussian_filter(
        cells, NEIGHBORHOOD, mode='nearest', axes=(0, 1)
    )
    near = near.reshape(*grid, count, 4, 7)
    whole = cells.reshape(-1, count, 4, 7).mean(axis=0)
    every = whole.sum(axis=0)
    plain = PLAIN * np.diag([1, 1, 1, 1e-3])
    start = np.eye(4, 3)
    overall = np.linalg.solve(
        every[:, :4] + plain, every[:, 4:] + plain @ start
    )
    pull = (CLASS_PULL * every[:, :4] + plain) / count
    of_class = np.linalg.solve(
        whole[..., :4] + pull, whole[..., 4:] + pull @ overall
    )
    mass = np.maximum(whole[:, 3:, 3:4], 1e-6)
    pull = (LOCAL_PULL * whole[..., :4] / mass + 0.1 * plain) / count
    return np.asarray(
        np.linalg.solve(near[..., :4] + pull, near[..., 4:] + pull @ of_class)
    )


def _apply(maps: Array, member: Array, image: Array) -> Array:
    """Colors (h, w, 3) that the mixture gives an image."""
    rows, columns = image.shape[:2]
    grid, count = maps.shape[:2], maps.shape[2]
    wide = resized(maps.reshape(*grid, count * 12), rows, columns)
    blend = np.einsum(
        'ijk,ijkm->ijm', member, wide.reshape(rows, columns, count, 12)
    ).reshape(rows, columns, 4, 3)
    return np.asarray(
        np.einsum('ijc,ijcd->ijd', image, blend[..., :3, :]) + blend[..., 3, :]
    )
