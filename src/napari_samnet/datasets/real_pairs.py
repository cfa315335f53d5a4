"""Sample pairs of two different things, with annotations drawn by hand.

The pictures lie beside this module; NOTICE names their authors and licences.
They are not among the images that the packaged network was trained on.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_samnet.datasets.sample_pair import Labels, SamplePair, painted

CALTECH = (
    'Caltech-101, F.-F. Li, M. Andreeto, M. Ranzato, P. Perona, CC BY 4.0; '
    'outlines ours'
)
HISTOLOGY = (
    'Histology landmarks, J. Borovec et al., BSD-3-Clause, reduced; outlines '
    'ours'
)

#: Which of the sections of :func:`brain_series` is annotated.
ANNOTATED_SECTION = 2
SECTIONS = 6


def _picture(name: str) -> NDArray[np.uint8]:
    path = files('napari_samnet.datasets') / 'pictures' / f'{name}.jpg'
    with path.open('rb') as file:
        return np.asarray(Image.open(file).convert('RGB'))


def _pair(
    name: str,
    title: str,
    pictures: tuple[str, str],
    label_names: tuple[str, ...],
    credit: str,
    landmarks: NDArray[np.float64] | None = None,
) -> SamplePair:
    source, target = (_picture(picture) for picture in pictures)
    return SamplePair(
        name=name,
        title=title,
        source=source,
        target=target,
        labels=painted(pictures[0], source.shape),
        label_names=label_names,
        target_labels=painted(pictures[1], target.shape),
        credit=credit,
        points=None if landmarks is None else landmarks[:, :2],
        target_points=None if landmarks is None else landmarks[:, 2:],
    )


def elephants() -> SamplePair:
    """Two elephants: one in a dry plain, one on a green slope.

    Returns: a pair with body, head, trunk, tusk and legs of both drawn by
    hand.
    """
    return _pair(
        'elephant',
        'Elephant: one in the plain, another in the green',
        ('elephant', 'other_elephant'),
        ('body', 'head', 'trunk', 'tusk', 'legs'),
        CALTECH,
    )


def jugs() -> SamplePair:
    """Two jugs of different shape, paint and ground.

    Returns: a pair with body, mouth, handle and foot of both drawn by hand.
    """
    return _pair(
        'jug',
        'Jug: porcelain, and another with a lid',
        ('jug', 'other_jug'),
        ('body', 'mouth', 'handle', 'foot'),
        CALTECH,
    )


def kidneys() -> SamplePair:
    """Two sections of one kidney in two stains, with landmarks.

    Returns: kidney and papilla of both drawn by hand, and the landmarks that
    the data set's authors set, at the size of these pictures.
    """
    path = files('napari_samnet.datasets') / 'pictures/kidney_landmarks.csv'
    with path.open('r', encoding='utf-8') as file:
        landmarks = np.loadtxt(file, delimiter=',', skiprows=1)
    return _pair(
        'kidney',
        'Kidney: two sections in two stains',
        ('kidney_he', 'kidney_pck'),
        ('kidney', 'papilla'),
        HISTOLOGY,
        landmarks,
    )


def brain_series() -> tuple[NDArray[np.uint8], Labels, tuple[str, ...]]:
    """Serial sections of a mouse brain, one of which is annotated.

    Returns: ``sections``: (6, rows, columns, 3): in their order; ``labels``:
    (6, rows, columns): outlines on one section, 0 on all others;
    ``label_names``: what the labels 1, 2, ... show.
    """
    sections = np.stack([_picture(f'brain_{k}') for k in range(SECTIONS)])
    labels = np.zeros(sections.shape[:3], np.uint8)
    labels[ANNOTATED_SECTION] = painted('brain', sections.shape[1:3])
    names = ('hippocampus, left', 'hippocampus, right', 'thalamus')
    return sections, labels, names


#: The pairs by name.
REAL_PAIRS = {'elephant': elephants, 'jug': jugs, 'kidney': kidneys}
