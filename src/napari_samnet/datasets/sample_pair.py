"""What a sample pair is, and how its labels are painted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from skimage import draw

from napari_samnet.arrays.brief import brief

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class SamplePair:
    """Two images with an annotation of the first, and what is known.

    Parameters
    ----------
    name : str
        Short name, as given to :func:`~.samples.load_sample`.
    title : str
        Name that menus and pages show.
    source : ndarray of uint8, shape (rows, columns, 3)
        The annotated image of the pair.
    target : ndarray of uint8, shape (rows, columns, 3)
        The image that shows something alike, possibly of another size.
    labels : ndarray of uint8, shape (rows, columns)
        Annotation on the source's grid.
    label_names : tuple of str
        What the labels 1, 2, ... show.
    target_labels : ndarray of uint8, shape (rows, columns)
        The same annotation where it belongs on the target's grid: moved with
        the known flow, or drawn by hand on a real second picture.
    credit : str
        Whose pictures these are, and their licence.
    flow : ndarray of float32, shape (rows, columns, 2), optional
        True displacement from the source to the target on the source's
        grid, row and column in pixels; NaN where it is not known. None for
        two pictures of different things.
    points, target_points : ndarray of float64, shape (N, 2), optional
        Landmarks (row, column) that belong together, set by hand.
    """

    __repr__ = brief

    name: str
    title: str
    source: NDArray[np.uint8]
    target: NDArray[np.uint8]
    labels: Labels
    label_names: tuple[str, ...]
    target_labels: Labels
    credit: str
    flow: NDArray[np.float32] | None = None
    points: NDArray[np.float64] | None = None
    target_points: NDArray[np.float64] | None = None


def painted(name: str, shape: tuple[int, ...]) -> Labels:
    """Labels by the outlines that were drawn by hand on a picture.

    ``name``: that of the picture in ``outlines.json``. Corners there are
    (column, row) in pixels, as one reads a picture; what comes later covers
    what came before.
    ``shape``: that of the picture, or its rows and columns.
    """
    file = files('napari_samnet.datasets') / 'pictures/outlines.json'
    labels = np.zeros(shape[:2], np.uint8)
    for part in json.loads(file.read_text(encoding='utf-8'))[name]:
        columns, rows = zip(*part['corners'], strict=True)
        labels[draw.polygon(rows, columns, labels.shape)] = part['label']
    return labels
