"""A match that is given pairs of points.

The field is bent to the pairs. Where they contradict it, the target is first
brought to the source by the affine motion of the pairs and matched again
from there, so that a match that has failed gets a start that it can go on
from. This is not part of the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.brief import in_brief
from napari_samnet.arrays.resize import center_grid
from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.warping.fields import sample_field
from napari_samnet.warping.landmarks import checked_pairs, fit_affine

Points = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]


def checked_landmarks(landmarks: Any) -> tuple[Points, Points]:
    """Check pairs of points.

    ``landmarks`` (tuple of array_like): points of the source and of the
    target, (K, 2) each. Raises InputError if they are no pairs.
    """
    try:
        source, target = landmarks
    except (TypeError, ValueError):
        raise InputError(
            f'landmarks must be two lists of points, (source_points, '
            f'target_points), got {in_brief(landmarks)}'
        ) from None
    return checked_pairs(source, target)


def match_from_landmarks(
    first: Correspondence,
    target: Any,
    landmarks: tuple[Points, Points],
    rematch: Callable[[Any], Correspondence],
) -> Correspondence:
    """Bend a match to pairs of points, or match again from them.

    ``first``: the match without them.
    ``landmarks``: points of the source and of the target, (K, 2) each.
    ``rematch``: matches the source with another target, of the source's size.
    """
    bent = first.with_landmarks(*landmarks)
    if not bent.metadata['landmarks']['restarted']:
        return replace(bent, transferred=first.transferred)
    again = match_again(first, target, landmarks, rematch)
    if again is None:
        return bent
    result = again.with_landmarks(*landmarks)
    about = {**result.metadata['landmarks'], 'restarted': True}
    return replace(
        result,
        transferred=again.transferred,
        metadata={**result.metadata, 'landmarks': about},
    )


def match_again(
    first: Correspondence,
    target: Any,
    landmarks: tuple[Points, Points],
    rematch: Callable[[Any], Correspondence],
) -> Correspondence | None:
    """Match again from the affine motion of pairs of points.

    ``first``: the match without them.
    ``landmarks``: points of the source and of the target, (K, 2) each.
    ``rematch``: matches the source with another target, of the source's size.
    Returns: that is not bent to the pairs yet; None if their motion cannot be
    inverted.
    """
    start, end = (
        (points + 0.5) / np.array(shape)
        for points, shape in zip(
            landmarks, (first.source_shape, first.target_shape), strict=True
        )
    )
    motion = fit_affine(start, end)
    if abs(np.linalg.det(motion[:, :2])) < 1e-3:
        return None
    nearer = _affine(first, motion).warp_image(target, to='source')
    return _composed(rematch(nearer), motion, first)


def _affine(like: Correspondence, motion: Matrix) -> Correspondence:
    """The correspondence of an affine motion."""
    inverse = _inverse(motion)
    fields = []
    for cells, matrix in (
        (like.forward.shape, motion),
        (like.backward.shape, inverse),
    ):
        grid = center_grid(cells)
        fields.append(_moved(grid, matrix) - grid)
    return replace(
        like,
        forward=fields[0].astype(np.float32),
        backward=fields[1].astype(np.float32),
        evidence=None,
        transferred=None,
        warped_labels=None,
    )


def _composed(
    again: Correspondence, motion: Matrix, first: Correspondence
) -> Correspondence:
    """A match with the moved target, expressed in the target as given."""
    grid = center_grid(again.forward.shape)
    forward = _moved(grid + again.forward, motion) - grid
    there = center_grid(first.backward.shape)
    moved = _moved(there, _inverse(motion))
    at = np.moveaxis(moved, -1, 0)
    back = moved + np.moveaxis(sample_field(again.backward, at), 0, -1) - there
    seen = ((at >= 0) & (at <= 1)).all(0)
    inside = at.clip(0, 1)
    confidence = sample_field(
        again.backward_cell_confidence[..., None], inside
    )[0]
    evidence = again.evidence
    if evidence is not None:
        cells = [
            (part * count).astype(int).clip(0, count - 1)
            for part, count in zip(inside, evidence.shape, strict=True)
        ]
        evidence = evidence.rearranged(cells[0], cells[1])
    return replace(
        again,
        forward=forward.astype(np.float32),
        backward=back.astype(np.float32),
        backward_cell_confidence=(confidence.clip(0, 1) * seen).astype(
            np.float32
        ),
        target_shape=first.target_shape,
        evidence=evidence,
        warped_labels=None,
    )


def _moved(at: Matrix, motion: Matrix) -> Matrix:
    """Positions after an affine motion."""
    return np.asarray(at @ motion[:, :2].T + motion[:, 2])


def _inverse(motion: Matrix) -> Matrix:
    """The affine motion back."""
    linear = np.linalg.inv(motion[:, :2])
    return np.column_stack([linear, -linear @ motion[:, 2]])
