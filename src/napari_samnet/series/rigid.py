"""Labels that move without changing are followed pixel by pixel.

Cells of features are coarse. Where the pixels of a label are found again in
another plane, moved, turned or stretched, the label goes exactly there: it
is looked for by the squared difference of its pixels at all shifts near the
evidence, then aligned by Gauss-Newton steps on an affine motion (Lucas and
Kanade, IJCAI 1981; Baker and Matthews, IJCV 2004,
doi:10.1023/B:VISI.0000011205.11775.fd).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates
from scipy.signal import fftconvolve

from napari_samnet.arrays.types import FloatArray

Mask = npt.NDArray[np.bool_]

#: Longest side, in pixels, of the pictures in which shifts are tried.
SEARCH_SIDE = 160

#: Pixels of a label that take part in the alignment.
SAMPLES = 1200

#: Pixels that a label must have to be followed.
LEAST_PIXELS = 12

#: Steps of the alignment.
STEPS = 12

#: A large label is aligned by few pixels and steps at first, and given up if
#: less than a share of them fits.
FEW_SAMPLES, FEW_STEPS, HOPEFUL = 200, 4, 0.5

#: A pixel fits whose color differs by less than this, or by this share of
#: the contrast within the label.
TOLERANCE, SHARE_OF_CONTRAST = 0.02, 0.3

#: Share of the pixels that must fit.
LEAST_FIT = 0.85

#: A label is told from its surroundings if its pixels differ by this factor
#: more when it is shifted by `PROBE` pixels.
DISTINCT, PROBE = 2.0, 5


@dataclass(frozen=True, eq=False)
class Followed:
    """Where a label was found again."""

    #: (H, W): pixels of the plane that it covers.
    mask: Mask
    #: Share of its pixels, from 0 to 1, that look as before.
    fit: float


def follow_label(
    before: FloatArray,
    mask: Mask,
    after: FloatArray,
    around: Mask,
    *,
    margin: int,
) -> Followed | None:
    """Find a label again by its pixels.

    ``before`` (H, W, 3): the plane that has the label, in [0, 1].
    ``mask`` (H, W): the label in `before`.
    ``after`` (H, W, 3): the plane in which it is looked for, in [0, 1].
    ``around`` (H, W): where it may be in `after`, roughly.
    ``margin``: pixels around `around` in which it is looked for.
    Returns: None if its pixels are not found again, or nothing in them tells
    where it is.
    """
    inside = np.argwhere(mask)
    if len(inside) < LEAST_PIXELS:
        return None
    low, high = inside.min(0), inside.max(0) + 1
    shift = _best_shift(before, mask, after, around, (low, high), margin)
    if shift is None:
        return None
    rng = np.random.default_rng(0)
    if len(inside) > SAMPLES:
        inside = inside[rng.choice(len(inside), SAMPLES, replace=False)]
    points = inside.astype(np.float64)
    colors = before[inside[:, 0], inside[:, 1]].astype(np.float64)
    motion = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    center = points.mean(0)
    contrast = float(colors.std(0).mean())
    tolerance = max(TOLERANCE, SHARE_OF_CONTRAST * contrast)
    if len(points) >= 4 * FEW_SAMPLES:
        some = np.s_[:: len(points) // FEW_SAMPLES]
        few = points[some], colors[some], center
        motion = _aligned(after, *few, motion, steps=FEW_STEPS)
        if (_errors(after, *few, motion) < tolerance).mean() < HOPEFUL:
            return None
    motion = _aligned(after, points, colors, center, motion)
    error = _errors(after, points, colors, center, motion)
    fit = float((error < tolerance).mean())
    if fit < LEAST_FIT:
        return None
    beside = min(
        _errors(after, points, colors, center, moved).mean()
        for moved in _probes(motion)
    )
    if beside < DISTINCT * error.mean():
        return None
    return Followed(_warped(mask, center, motion), fit)


def _best_shift(
    before: FloatArray,
    mask: Mask,
    after: FloatArray,
    around: Mask,
    box: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    margin: int,
) -> tuple[float, float] | None:
    """Shift (rows, columns) with the least squared difference."""
    low, high = box
    where = np.argwhere(around | mask)
    half = (high - low) // 2
    start = np.maximum(where.min(0) - margin - half, 0)
    stop = np.minimum(where.max(0) + 1 + margin + half, mask.shape)
    step = max(1, int(np.ceil((stop - start).max() / SEARCH_SIDE)))
    template = before[low[0] : high[0] : step, low[1] : high[1] : step]
    weight = mask[low[0] : high[0] : step, low[1] : high[1] : step]
    weight = weight.astype(np.float64)
    area = after[start[0] : stop[0] : step, start[1] : stop[1] : step]
    if not weight.any() or any(
        a < b for a, b in zip(area.shape, template.shape, strict=True)
    ):
        return None
    # sum over the label of (after - before)^2 at every shift, expanded.
    power = (area.astype(np.float64) ** 2).sum(-1)
    cost = fftconvolve(power, weight[::-1, ::-1], 'valid')
    for channel in range(3):
        known = (weight * template[..., channel])[::-1, ::-1]
        cost -= 2 * fftconvolve(area[..., channel], known, 'valid')
    row, column = np.unravel_index(int(cost.argmin()), cost.shape)
    return (
        float(start[0] + step * row - low[0]),
        float(start[1] + step * column - low[1]),
    )


def _moved(
    points: npt.NDArray[np.float64],
    center: npt.NDArray[np.float64],
    motion: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Points after an affine motion about a center, as (2, n)."""
    return (
        motion[:, :2] @ (points - center).T + (center + motion[:, 2])[:, None]
    )


def _sampled(
    picture: FloatArray, at: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Bilinear colors at (2, n) positions, (n, channels)."""
    return np.stack(
        [
            map_coordinates(picture[..., k], at, order=1, mode='nearest')
            for k in range(picture.shape[-1])
        ],
        1,
    ).astype(np.float64)


def _errors(
    after: FloatArray,
    points: npt.NDArray[np.float64],
    colors: npt.NDArray[np.float64],
    center: npt.NDArray[np.float64],
    motion: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Mean absolute difference of the colors of each point."""
    samples = _sampled(after, _moved(points, center, motion))
    return np.abs(samples - colors).mean(1)


def _aligned(
    after: FloatArray,
    points: npt.NDArray[np.float64],
    colors: npt.NDArray[np.float64],
    center: npt.NDArray[np.float64],
    motion: npt.NDArray[np.float64],
    *,
    steps: int = STEPS,
) -> npt.NDArray[np.float64]:
    """Affine motion of least robust difference, by Gauss-Newton steps."""
    best, least = motion, _errors(after, points, colors, center, motion).mean()
    offset = points - center
    scale = max(1.0, float(np.abs(offset).max()))
    offset = offset / scale
    for _ in range(steps):
        at = _moved(points, center, motion)
        samples = _sampled(after, at)
        slopes = [
            (
                _sampled(after, at + step[:, None])
                - _sampled(after, at - step[:, None])
            )
            / 2
            for step in np.eye(2)
        ]
        residual = colors - samples
        size = np.abs(residual).mean(1)
        weight = 1 / np.maximum(size, np.median(size) + 1e-3)
        columns = []
        for slope in slopes:
            columns += [
                slope * offset[:, :1],
                slope * offset[:, 1:],
                slope,
            ]
        system = np.stack(columns, -1) * weight[:, None, None]
        system = system.reshape(-1, 6)
        right_side = (residual * weight[:, None]).ravel()
        normal = system.T @ system
        normal[np.diag_indices(6)] *= 1 + 1e-3
        normal[np.diag_indices(6)] += 1e-6
        change = np.linalg.solve(normal, system.T @ right_side).reshape(2, 3)
        change[:, :2] /= scale
        motion = motion + change
        error = _errors(after, points, colors, center, motion).mean()
        if error < least:
            best, least = motion, error
        if np.abs(change[:, 2]).max() < 0.01:
            break
    return best


def _probes(
    motion: npt.NDArray[np.float64],
) -> list[npt.NDArray[np.float64]]:
    """The motion, shifted by a few pixels in four directions."""
    probes = []
    for axis in range(2):
        for sign in (-1, 1):
            moved = motion.copy()
            moved[axis, 2] += sign * PROBE
            probes.append(moved)
    return probes


def _warped(
    mask: Mask,
    center: npt.NDArray[np.float64],
    motion: npt.NDArray[np.float64],
) -> Mask:
    """A mask after an affine motion about a center."""
    back = np.linalg.inv(motion[:, :2])
    corners = np.argwhere(mask)
    low, high = corners.min(0), corners.max(0)
    ends = np.array(
        [[low[0], low[1]], [low[0], high[1]], [high[0], low[1]], high]
    )
    at = _moved(ends.astype(float), center, motion)
    start = np.maximum(np.floor(at.min(1)).astype(int) - 1, 0)
    stop = np.minimum(np.ceil(at.max(1)).astype(int) + 2, mask.shape)
    moved = np.zeros(mask.shape, bool)
    if (stop <= start).any():
        return moved
    rows, columns = (np.arange(a, b) for a, b in zip(start, stop, strict=True))
    grid = np.stack(np.meshgrid(rows, columns, indexing='ij')).reshape(2, -1)
    origin = back @ (grid - (center + motion[:, 2])[:, None])
    origin = origin + center[:, None]
    values = map_coordinates(
        mask.astype(np.float32), origin, order=1, mode='constant'
    )
    inside = (values > 0.5).reshape(rows.size, columns.size)
    moved[start[0] : stop[0], start[1] : stop[1]] = inside
    return moved
