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
pixels tells the one from the other, region by region. Where neither that nor
how likely the matches are says that the target shows what the source shows,
there is no look to take, and the colors stay.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_samnet.arrays.types import FloatArray
from napari_samnet.color.affine_fit import FIT_SIDE, kept_maps
from napari_samnet.color.belief import believed
from napari_samnet.color.classes import (
    PLAIN,
    ColorClasses,
    class_maps,
    plain_moments,
)
from napari_samnet.color.local_statistics import statistical_pictures
from napari_samnet.color.lucas_kanade import aligned, sampled
from napari_samnet.color.moments import products, unpacked
from napari_samnet.color.smoothing import blurred, resized
from napari_samnet.errors import InputError
from napari_samnet.warping.fields import Mapping

Array = npt.NDArray[np.float64]

#: Classes of alike colors, and cells a side of the grid of their maps.
CLASSES = 8
CELLS = 16

#: Width of the neighborhood of a map, in cells.
NEIGHBORHOOD = 1.0

#: Pull towards the map of the class in the whole image, in shares of the mean
#: mass of a cell.
LOCAL_PULL = 0.05

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
    """A small image before and after, and what finer detail there is."""

    #: ``before``, ``after``: (at most 128, at most 128, 3): pictures in the
    #: range 0 to 1.
    before: FloatArray
    after: FloatArray
    #: (h, w, 3): to be added to the image that the two lead to. None unless
    #: both images show the same scene.
    residual: FloatArray | None


def recolored(
    source: npt.ArrayLike,
    target: npt.ArrayLike,
    field: FloatArray,
    weight: npt.ArrayLike,
    *,
    likely: npt.ArrayLike | None = None,
    classes: Callable[[], ColorClasses] | None = None,
) -> Recolored:
    """The source, and what it looks like in the target's colors, both small.

    ``source``, ``target`` (h, w, 3): both images at working size, in [0, 1].
    ``field`` (rows, columns, 2): displacement (row, column) from source to
    target in normalized units, on a grid of cells over the source.
    ``weight`` (rows, columns): confidence of each of its cells, from 0 to 1.
    ``likely`` (r, c): how likely the matches of the source's parts are right;
    where they are not, and the target does not show the same scene, colors
    stay as they are. None to take the look of whatever is matched.
    ``classes``: gives :func:`source_classes` of the source, where they are
    found beside other work.
    Raises InputError if the shapes do not fit.
    """
    source_pixels, target_pixels = (
        np.asarray(x, np.float32) for x in (source, target)
    )
    for name, image in (('source', source_pixels), ('target', target_pixels)):
        if image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(
                f'the small {name} must have shape (h, w, 3), got '
                f'{image.shape}'
            )
    confidence = np.clip(np.asarray(weight, np.float32), 0, 1)
    if (
        confidence.ndim != 2
        or confidence.shape != field.shape[:2]
        or not confidence.size
    ):
        raise InputError(
            f'weight must have shape {field.shape[:2]}, got {confidence.shape}'
        )
    shape = source_pixels.shape[0], source_pixels.shape[1]
    mapping = Mapping(
        field, shape, (target_pixels.shape[0], target_pixels.shape[1])
    )
    places = mapping.positions(slice(0, shape[0]))
    with torch.inference_mode():
        small = min(shape[0], FIT_SIDE), min(shape[1], FIT_SIDE)
        return _recolored(
            _planes(source_pixels),
            _planes(target_pixels),
            torch.from_numpy(places),
            resized(_cells(confidence), *small),
            classes or partial(source_classes, source_pixels),
            None if likely is None else resized(_cells(likely), *small),
        )


def source_classes(source: FloatArray) -> ColorClasses:
    """Classes of alike colors of an image (h, w, 3) at working size."""
    with torch.inference_mode():
        planes = _planes(source)
        small = (min(side, FIT_SIDE) for side in planes.shape[1:])
        colors = _pixels(resized(planes, *small)).astype(np.float64)
    return ColorClasses.of(colors, count=CLASSES)


def _cells(values: npt.ArrayLike) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32)).clamp(0, 1)


def _planes(image: FloatArray) -> Tensor:
    """Pixels (h, w, 3) as ``(3, h, w)``."""
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


def _pixels(planes: Tensor) -> FloatArray:
    """The way back."""
    array: FloatArray = planes.permute(1, 2, 0).contiguous().float().numpy()
    return array


def _recolored(
    source: Tensor,
    target: Tensor,
    places: Tensor,
    confidence: Tensor,
    classes: Callable[[], ColorClasses],
    likely: Tensor | None,
) -> Recolored:
    """The same on tensors.

    ``source``, ``target``: ``(3, h, w)`` and ``(3, H, W)``, single precision.
    ``places``: ``(2, h, w)``: row and column of each pixel in the target.
    ``confidence``: ``(r, c)``, confidence at the size that is fitted.
    ``classes``: gives those of the source.
    ``likely``: ``(r, c)``, how likely matches are right, if that is told.
    """
    shape = source.shape[1], source.shape[2]
    before = resized(source, *confidence.shape)
    after, share = _shown(target, places, confidence)
    near, wide = statistical_pictures(before, after, share, (NARROW, WIDE))
    same = _agreement(after, near, share)
    member = _shares(classes(), before)
    if likely is not None:
        told = believed(likely, member)
        same = same * told
        wide = before + told * (wide - before)
    # A plain part in which two images happen to agree is no scene.
    one_scene = bool(same.mean() >= SAME_SCENE)

    def picture() -> Tensor:
        colors = wide
        if one_scene:
            exact = _exact(before, after, member, share)
            colors = wide + same * (exact - wide)
        return colors.clamp(0, 1).float()

    small_source, pictured = _pixels(before), _pixels(picture())
    sides = min(*shape, *target.shape[1:])
    if sides < SMALLEST or not one_scene:
        return Recolored(small_source, pictured, None)
    like = _apply_maps(kept_maps(small_source, pictured), source)
    places = aligned(like, target, places)
    after, share = _shown(target, places, confidence)
    pictured = _pixels(picture())
    weight = resized((same * (share / TRUSTED).clamp_max(1)).float(), *shape)
    like = _apply_maps(kept_maps(small_source, pictured), source)
    residual = _believed(like, sampled(target, places), weight)
    finer = None if residual is None else _pixels(residual)
    return Recolored(small_source, pictured, finer)


def _apply_maps(maps: Tensor, image: Tensor) -> Tensor:
    """An image through affine maps ``(3, 4, r, c)`` of its colors."""
    size = image.shape[1], image.shape[2]
    wide = resized(maps.to(image.dtype), *size)
    colors = (wide[:, :3] * image).sum(1) + wide[:, 3]
    return colors.clamp(0, 1)


def _shown(
    target: Tensor, places: Tensor, confidence: Tensor
) -> tuple[Tensor, Tensor]:
    """The target on the source's grid, and how much each pixel counts.

    Both at the size of `confidence`.
    """
    seen = resized(sampled(target, places), *confidence.shape)
    last = places.new_tensor(target.shape[1:]).view(2, 1, 1) - 0.5
    inside = ((places >= -0.5) & (places <= last)).all(0)
    share = resized(inside.float(), *confidence.shape)
    return seen, (share * confidence).clamp_min(1e-6)


def _shares(classes: ColorClasses, image: Tensor) -> Tensor:
    """How much each pixel belongs to each class, ``(K, h, w)``."""
    centers = torch.from_numpy(classes.centers).to(image)
    distances = image.new_zeros(len(centers), *image.shape[1:])
    for channel, values in enumerate(image):
        distances += (values - centers[:, channel, None, None]).square()
    return (distances / (-2 * classes.width)).softmax(0)


def _believed(picture: Tensor, seen: Tensor, weight: Tensor) -> Tensor | None:
    """What is seen beyond the picture, where both are alike in detail.

    Two things of one kind may be alike in every part but the details. Those
    of the target are then its structure, not its look.
    """
    shape = picture.shape[1], picture.shape[2]
    both = torch.cat((picture, seen))
    fine, other = (_soft(both, FINE) - _soft(both, COARSE)).split(3)
    parts = ((fine, other), (fine, fine), (other, other))
    sums = torch.stack([(weight * a * b).sum(0) for a, b in parts])
    sums = resized(sums, *(min(side, FIT_SIDE) for side in shape))
    sums = _near(sums) + ANCHOR * sums.mean((1, 2), keepdim=True)
    alike = sums[0] / ((sums[1] * sums[2]).sqrt() + 1e-12)
    alike = ((alike - RELATED) / (IDENTICAL - RELATED)).clamp(0, 1)
    if not alike.any():
        return None
    residual = seen - picture
    wrong = _soft(residual).square().sum(0) / UNEQUAL**2
    share = weight * resized(alike.float(), *shape) / (1 + wrong)
    return _soft(share) * residual


def _soft(maps: Tensor, width: float = SOFT) -> Tensor:
    """Maps without the finest detail."""
    return blurred(maps, width, truncate=3.0)


def _near(maps: Tensor) -> Tensor:
    """Mean of the neighborhood of each pixel."""
    return blurred(maps, REGION)


def _agreement(after: Tensor, near: Tensor, share: Tensor) -> Tensor:
    """How far to believe that both images show the same scene: ``(h, w)``."""
    seen, told = (_soft(x) for x in (after, near))
    mean = _near(share * seen) / (_near(share) + 1e-9)
    weight = share / share.mean()
    sums = torch.stack(
        [
            weight * (seen - mean).square().sum(0),
            weight * (seen - told).square().sum(0),
        ]
    )
    total, wrong = _near(sums) + ANCHOR * sums.mean((1, 2), keepdim=True)
    explained = 1 - wrong / (total + PLAIN)
    return ((explained - UNLIKE) / (ALIKE - UNLIKE)).clamp(0, 1)


def _exact(
    before: Tensor, after: Tensor, member: Tensor, share: Tensor
) -> Tensor:
    """Colors by a mixture of maps, corrected where the match is sure."""
    mixed = _apply(_maps(before, after, member, share), member, before)
    wrong = (after - mixed).square().sum(0) / MISMATCH**2
    weight = (share / (1 + wrong))[None]
    parts = blurred(torch.cat((weight * (after - mixed), weight)), CORRECTION)
    return mixed + parts[:3] / (parts[3:] + SURE)


def _maps(
    before: Tensor, after: Tensor, member: Tensor, share: Tensor
) -> Tensor:
    """Affine map ``(K, 12, r, c)`` of each class in each cell of a grid."""
    count, rows, columns = member.shape
    grid = min(rows, CELLS), min(columns, CELLS)
    # Second moments of colors before, and of those before with those after.
    both = torch.cat((before, torch.ones_like(before[:1]), after))
    moments = products(both, 4) * (share / share.mean())
    # One class after the other, which stays in the cache of a core.
    weighted = torch.empty_like(moments)
    cells = torch.stack(
        [
            resized(torch.mul(moments, share, out=weighted), *grid)
            for share in member
        ]
    ).double()
    near = unpacked(blurred(cells, NEIGHBORHOOD), 4, 7).numpy()
    whole = unpacked(cells.mean((2, 3), keepdim=True), 4, 7)[:, 0, 0].numpy()
    maps = torch.from_numpy(_solved(whole, np.moveaxis(near, 0, 2)))
    return maps.reshape(*grid, count, 12).permute(2, 3, 0, 1).contiguous()


def _solved(whole: Array, near: Array) -> Array:
    """Maps (r, c, K, 4, 3) from moments of the image and of cells."""
    mass = np.maximum(whole[:, 3:, 3:4], 1e-6)
    pull = LOCAL_PULL * whole[..., :4] / mass + 0.1 * plain_moments()
    pull /= len(whole)
    right = near[..., 4:] + pull @ class_maps(whole)
    return np.asarray(np.linalg.solve(near[..., :4] + pull, right))


def _apply(maps: Tensor, member: Tensor, image: Tensor) -> Tensor:
    """Colors ``(3, h, w)`` that the mixture gives an image."""
    size = image.shape[1], image.shape[2]
    blend = torch.zeros(maps.shape[1], *size, dtype=image.dtype)
    # One class after the other, which stays in the cache of a core.
    for share, part in zip(member, maps.to(image), strict=True):
        blend.addcmul_(share, resized(part, *size))
    blend = blend.view(4, 3, *size)
    return (image[:, None] * blend[:3]).sum(0) + blend[3]
