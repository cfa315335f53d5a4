"""Scores of correspondence and attribute transfer, on plain arrays.

Points are ``(N, 2)`` in any consistent order and unit, flows ``(H, W, 2)``,
masks boolean ``(H, W)``, images float ``(H, W, 3)`` in [0, 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.color import deltaE_ciede2000, rgb2gray, rgb2lab
from skimage.filters import sobel
from skimage.metrics import structural_similarity

from napari_samnet.errors import InputError

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]


def box_side(points: Array) -> float:
    """Longest side of the box around points."""
    return float(np.max(np.ptp(points, axis=0)))


def pck(
    estimate: Array, truth: Array, reference: float, alpha: float
) -> float:
    """Share of points no further from the truth than alpha x reference.

    ``estimate``, ``truth``: points in the same unit. A distance that is not
    finite counts as wrong.
    ``reference``: length that `alpha` is a share of, in that unit.
    ``alpha``: tolerance, such as 0.1.
    Returns: between 0 and 1.
    Raises InputError without points, or when the two sets differ in shape.
    """
    if estimate.shape != truth.shape or not len(truth):
        raise InputError(
            f'PCK needs as many estimated as true points, at least one, got '
            f'{estimate.shape} and {truth.shape}'
        )
    distance = np.linalg.norm(estimate - truth, axis=1)
    return float(np.mean(distance <= alpha * reference))


def relative_tre(
    estimate: Array, truth: Array, shape: tuple[int, ...]
) -> float:
    """Median landmark error over the diagonal of the image (rTRE).

    ``estimate``, ``truth``: landmarks in pixels of the target image.
    ``shape``: shape of the target image, height and width first.
    """
    errors = np.linalg.norm(estimate - truth, axis=1)
    return float(np.median(errors) / np.hypot(shape[0], shape[1]))


def iou(estimate: Mask, truth: Mask) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    union = np.count_nonzero(estimate | truth)
    if not union:
        return 1.0
    return float(np.count_nonzero(estimate & truth) / union)


def label_ious(
    estimate: NDArray[np.integer], truth: NDArray[np.integer]
) -> dict[int, float]:
    """IoU of every label of the truth, in one pass over the pixels.

    ``estimate``, ``truth`` (H, W): Label maps; 0 is a label as any other.
    Returns: from 0 to 1 for each id that occurs in the truth.
    """
    ids, places = np.unique(np.stack([estimate, truth]), return_inverse=True)
    ours, theirs = places.reshape(2, -1)
    shared = np.bincount(ours[ours == theirs], minlength=ids.size)
    here, there = (
        np.bincount(part, minlength=ids.size) for part in (ours, theirs)
    )
    return {
        int(ids[index]): float(
            shared[index] / (here[index] + there[index] - shared[index])
        )
        for index in np.flatnonzero(there)
    }


def mean_iou(
    estimate: NDArray[np.integer], truth: NDArray[np.integer]
) -> float:
    """IoU averaged over the labels of the truth, background included.

    ``estimate``, ``truth`` (H, W): Label maps that are compared. Returns: from
    0 to 1.
    """
    return float(np.mean(list(label_ious(estimate, truth).values())))


def _outline(mask: Mask) -> Mask:
    """Pixels that differ from the next one to the right, below, or both."""
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1] |= mask[:-1] ^ mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def boundary_f(
    estimate: NDArray[np.generic],
    truth: NDArray[np.generic],
    tolerance: float = 0.008,
) -> float:
    """F-measure of outlines as DAVIS defines it [1]_.

    ``estimate``, ``truth`` (H, W): masks, or label maps whose labels other
    than 0 are averaged.
    ``tolerance``: distance at which two outlines still agree, in shares of the
    image's diagonal and rounded up to whole pixels; a larger one forgives
    more.
    Returns: harmonic mean of the share of estimated outline that is near a
    true one and the share of true outline that is near an estimated one.

    References
    ----------
    .. [1] Perazzi et al. A Benchmark Dataset and Evaluation Methodology for
       Video Object Segmentation. CVPR 2016. :DOI:`10.1109/CVPR.2016.85`
    """
    if truth.dtype != bool:
        scores = [
            boundary_f(estimate == label, truth == label, tolerance)
            for label in np.unique(truth)
            if label
        ]
        return float(np.mean(scores)) if scores else float(not estimate.any())
    pixels = np.ceil(tolerance * np.hypot(*truth.shape))
    ours, theirs = (_outline(mask.astype(bool)) for mask in (estimate, truth))
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    precision, recall = (
        float(np.mean(distance_transform_edt(~other)[edge] <= pixels))
        for edge, other in ((ours, theirs), (theirs, ours))
    )
    return 2 * precision * recall / max(precision + recall, 1e-12)


def label_accuracy(
    estimate: NDArray[np.generic], truth: NDArray[np.generic]
) -> float:
    """Share of all pixels whose label agrees (LT-ACC)."""
    return float(np.mean(estimate == truth))


def flow_accuracy(
    estimate: Array, truth: Array, valid: Mask, threshold: float
) -> float:
    """Share of valid pixels whose end-point error is within a threshold.

    ``estimate``, ``truth``: flows in pixels, on one grid.
    ``valid``: where the truth is known. NaN without any.
    ``threshold``: largest error in pixels that still counts as right.
    """
    if not valid.any():
        return float('nan')
    error = np.linalg.norm(estimate[valid] - truth[valid], axis=-1)
    return float(np.mean(error <= threshold))


def psnr(estimate: Array, truth: Array, valid: Mask) -> float:
    """Peak signal-to-noise ratio in dB over the valid pixels, at most 100."""
    error = float(np.mean(np.square(estimate[valid] - truth[valid])))
    return float(min(100.0, -10 * np.log10(max(error, 1e-30))))


def ssim(estimate: Array, truth: Array, valid: Mask) -> float:
    """Structural similarity of color images, averaged where valid."""
    _, local = structural_similarity(
        estimate, truth, data_range=1.0, channel_axis=-1, full=True
    )
    return float(np.mean(local[valid]))


def delta_e(estimate: Array, truth: Array, valid: Mask) -> float:
    """Mean CIEDE2000 color difference over the valid pixels."""
    difference = deltaE_ciede2000(rgb2lab(estimate), rgb2lab(truth))
    return float(np.mean(difference[valid]))


def edge_ssim(estimate: Array, source: Array, valid: Mask) -> float:
    """Structural similarity of the edges of two images, where valid.

    Edges are the Sobel magnitude of the luminance. This says how much of the
    source's structure a transferred image kept, whatever its colors.
    """
    edges = [sobel(rgb2gray(image)) for image in (estimate, source)]
    _, local = structural_similarity(*edges, data_range=1.0, full=True)
    return float(np.mean(local[valid]))
