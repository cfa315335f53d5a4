"""Figures of several runs as one: means, medians, distances."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.evaluation.speed.variants import Found

__all__ = ['deviation', 'means', 'medians', 'psnr', 'worst']


def deviation(found: Found, reference: Found, size: int) -> dict[str, float]:
    """How far a field and an image are from the reference's.

    Parameters
    ----------
    found, reference : Found
        Of the same pair.
    size : int
        Working size, in whose pixels the fields are compared.

    Returns
    -------
    dict
        ``max_px`` and ``mean_px`` over the cells, ``psnr_db`` of the images
        where there are two.
    """
    apart = np.linalg.norm(found.forward - reference.forward, axis=-1) * size
    values = {'max_px': float(apart.max()), 'mean_px': float(apart.mean())}
    if found.transferred is not None and reference.transferred is not None:
        values['psnr_db'] = psnr(found.transferred, reference.transferred)
    return values


def psnr(image: NDArray[Any], other: NDArray[Any]) -> float:
    """In dB, for images in [0, 1]; at most 120.

    Parameters
    ----------
    image, other : ndarray of float
        Of one shape.

    Returns
    -------
    float
    """
    error = float(np.mean(np.square(image - other, dtype=np.float64)))
    return -10 * float(np.log10(max(error, 1e-12)))


def worst(deviations: Sequence[dict[str, float]]) -> dict[str, float]:
    """Largest of the largest, and means of the others, over the pairs.

    Parameters
    ----------
    deviations : sequence of dict
        Of :func:`deviation`.

    Returns
    -------
    dict
    """
    found = means(deviations)
    if found:
        found['max_px'] = max(each['max_px'] for each in deviations)
    return {name: float(f'{value:.4g}') for name, value in found.items()}


def means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of every entry over the rows that have it.

    Parameters
    ----------
    rows : sequence of dict
        The rows.

    Returns
    -------
    dict
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: round(
            float(np.mean([row[name] for row in rows if name in row])), 7
        )
        for name in names
    }


def medians(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Median of every entry over the rows that have it.

    Parameters
    ----------
    rows : sequence of dict
        The rows.

    Returns
    -------
    dict
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: round(median(row[name] for row in rows if name in row), 5)
        for name in names
    }
