"""Motions that the most alike cells show, and the fields have missed.

A thing that moves on its own before its background may be too small for a
field that neighbors share. Its cells still find each other: where several
next to each other are most alike to cells of the other image, there and back,
and one affine map takes them all there, that is a motion of its own. This is
not part of the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_samnet.arrays.resize import Upsampler
from napari_samnet.arrays.types import FloatArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]

#: Cells by which the way there and back may miss its start, and by which a
#: match must be away from where the field leads.
MUTUAL, AWAY = 1.5, 1.5

#: Cells from the middle of a guess to those that it is made of, by which
#: their motions may differ, how many there must be, and about how many guesses
#: there are at most.
REACH, ALIKE, FEWEST, GUESSES = 3, 2.5, 5, 200

#: Cells by which a match may miss a motion, and how often a motion is solved
#: for again by the matches that do not.
MISS, ROUNDS = 1.0, 4

#: Matches that the field misses and a motion must explain, and most motions.
LEAST, MOST = 4, 3

#: Cells next to each other that one thing shows, and the least and largest
#: area that an area of 1 may become.
PATCH, AREAS = 5, (0.3, 3.0)


class MostAlike(NamedTuple):
    """The most alike cells of two images."""

    #: Rows and columns of the cells of either image.
    size: tuple[int, int]
    #: ``there``, ``back``: (N,): most alike cell of the other image, of each
    #: of the first, and of each of the second, row by row.
    there: Places
    back: Places


class MissedMotion(NamedTuple):
    """A part of two images that moves on its own."""

    #: (2, 3): from normalized (x, y, 1) to (x, y) in the second image.
    matrix: Array
    #: ``first``, ``second`` (rows, columns): cells that show it.
    first: Mask
    second: Mask

    def seen_from(self, image: int) -> tuple[Array, Mask]:
        """Its map from the first image (0) or the second, and its cells."""
        if image == 0:
            return self.matrix, self.first
        inverse = np.linalg.inv(self.matrix[:, :2])
        shift = -inverse @ self.matrix[:, 2:]
        return np.concatenate((inverse, shift), 1), self.second


def missed_motions(
    matches: MostAlike, fields: tuple[FloatArray, FloatArray]
) -> list[MissedMotion]:
    """Motions of mutual matches from which the fields lead away.

    ``fields`` (h, w, 2): normalized displacements (row, column), forward and
    backward.
    Returns: those that explain most matches first.
    """
    size = matches.size
    rows, columns = size
    cells = np.array([columns, rows])
    row, column = np.divmod(np.arange(rows * columns), columns)
    points = np.stack(((column + 0.5) / columns, (row + 0.5) / rows), 1)
    goals = points[matches.there]
    round_trip = points[matches.back[matches.there]] - points
    mutual = np.linalg.norm(round_trip * cells, axis=1) <= MUTUAL
    led = at_cells(fields[0], size).reshape(2, -1).T
    apart = (goals - points) * cells - led
    missed = mutual & (np.linalg.norm(apart, axis=1) > AWAY)
    if missed.sum() < LEAST:
        return []
    maps = _guesses(points * cells, (goals - points) * cells, mutual, missed)
    motions: list[MissedMotion] = []
    while len(maps) and len(motions) < MOST:
        found = _largest(points * cells, goals * cells, missed, maps)
        if found is None:
            break
        matrix, chosen = found
        missed = missed & ~chosen
        if _largest_patch(chosen.reshape(size)) < PATCH:
            continue
        second = np.zeros(rows * columns, bool)
        second[matches.there[chosen]] = True
        matrix = matrix.copy()
        matrix[:, :2] = matrix[:, :2] * cells / cells[:, None]
        matrix[:, 2] /= cells
        motions.append(
            MissedMotion(matrix, chosen.reshape(size), second.reshape(size))
        )
    return motions


def _largest_patch(cells: Mask) -> int:
    """How many of the cells touch each other."""
    patches, count = ndimage.label(cells, np.ones((3, 3)))
    return int(np.bincount(patches.ravel())[1:].max()) if count else 0


def at_cells(field: FloatArray, size: tuple[int, int]) -> FloatArray:
    """A field at the centers of cells.

    ``field`` (h, w, 2): normalized displacements (row, column). ``size``: rows
    and columns of the cells. Returns: (2, rows, columns): displacement in
    (x, y) cells.
    """
    rows, columns = size
    down, right = Upsampler(field, size, extrapolate=True).rows(
        slice(0, rows)
    )[:2]
    return np.stack((columns * right, rows * down))


def _guesses(
    points: Array, motion: Array, mutual: Mask, missed: Mask
) -> Array:
    """Affine maps of the surroundings of missed matches, ``(K, 2, 3)``."""
    middles = np.flatnonzero(missed)
    middles = middles[:: 1 + len(middles) // GUESSES]
    near = np.abs(points[middles, None] - points[mutual]).max(2) <= REACH
    apart = np.linalg.norm(motion[middles, None] - motion[mutual], axis=2)
    weights = (near & (apart < ALIKE)).astype(np.float64)
    weights = weights[weights.sum(1) >= FEWEST]
    return _affine(points[mutual], motion[mutual], weights)


def _affine(points: Array, motion: Array, weights: Array) -> Array:
    """Weighted least squares, ``(K, 2, 3)``: matrices and shifts.

    A little is known beforehand: that things keep their shape. ``points``,
    ``motion``: ``(N, 2)``; ``weights``: ``(K, N)``.
    """
    total = weights.sum(1)[:, None]
    middle, mean = weights @ points / total, weights @ motion / total
    product = (points[:, :, None] * points[:, None]).reshape(-1, 4)
    both = (motion[:, :, None] * points[:, None]).reshape(-1, 4)
    spread = (weights @ product / total).reshape(-1, 2, 2)
    spread -= middle[:, :, None] * middle[:, None]
    joint = (weights @ both / total).reshape(-1, 2, 2)
    joint -= mean[:, :, None] * middle[:, None]
    spread += np.eye(2) / total[..., None]
    linear = joint @ np.linalg.inv(spread) + np.eye(2)
    goal = middle + mean
    shift = goal - np.einsum('kij,kj->ki', linear, middle)
    return np.concatenate((linear, shift[..., None]), 2)


def _largest(
    points: Array, goals: Array, missed: Mask, maps: Array
) -> tuple[Array, Mask] | None:
    """The map that explains most missed matches, and its matches."""
    led = np.einsum('kij,nj->kni', maps[:, :, :2], points[missed])
    led += maps[:, None, :, 2]
    error = np.linalg.norm(led - goals[missed], axis=2)
    explained = (error < MISS).sum(1)
    best = int(explained.argmax())
    if explained[best] < LEAST:
        return None
    matrix = maps[best]
    chosen = missed
    for _ in range(ROUNDS):
        led = points @ matrix[:, :2].T + matrix[:, 2]
        error = np.linalg.norm(led - goals, axis=1)
        chosen = missed & (error < MISS)
        if chosen.sum() < LEAST:
            return None
        weights = chosen * np.exp(-0.5 * (error / MISS) ** 2)
        (matrix,) = _affine(points, goals - points, weights[None])
    area = np.linalg.det(matrix[:, :2])
    return (matrix, chosen) if AREAS[0] < area < AREAS[1] else None


#: Finds what two fields have missed.
Missed = Callable[[tuple[FloatArray, FloatArray]], Sequence[MissedMotion]]


def nothing_missed(
    _fields: tuple[FloatArray, FloatArray],
) -> Sequence[MissedMotion]:
    """No motions, where there are no cells to tell them."""
    return ()
