"""Dense flow and registration from other packages, to stand next to.

All see the images as the network does: both resized to size x size, so that
what is compared is the method and not the resolution. Each runs once per
direction.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from multiprocessing import get_context
from types import ModuleType
from typing import NamedTuple

import numpy as np
import skimage.registration
from numpy.typing import NDArray
from skimage.color import rgb2gray

from napari_samnet.evaluation.interfaces import Answer, Method, Pair
from napari_samnet.evaluation.methods.base import from_fields
from napari_samnet.evaluation.methods.elastix import register
from napari_samnet.images.rgb import to_working
from napari_samnet.io.extras import require

Gray = NDArray[np.float32]
Flow = NDArray[np.floating]

#: Range of gray values below which an image shows nothing.
FLAT = 1 / 255


def _tvl1(source: Gray, target: Gray) -> Flow:
    return np.stack(
        skimage.registration.optical_flow_tvl1(source, target), axis=-1
    )


def _ilk(source: Gray, target: Gray) -> Flow:
    return np.stack(
        skimage.registration.optical_flow_ilk(source, target), axis=-1
    )


def _dis(source: Gray, target: Gray) -> Flow:
    cv2 = _load_cv2()
    images = [
        np.round(image * 255).astype(np.uint8) for image in (source, target)
    ]
    solver = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow: Flow = solver.calc(*images, None)
    return flow[..., ::-1]


@lru_cache(maxsize=1)
def _other_process() -> ProcessPoolExecutor:
    """A process for ITK, which crashes at the end of one that ran torch."""
    return ProcessPoolExecutor(1, mp_context=get_context('spawn'))


def _elastix(source: Gray, target: Gray) -> Flow:
    """Affine, then B-spline, with elastix's own default parameters."""
    if min(np.ptp(source), np.ptp(target)) < FLAT:
        # elastix's mutual information ends the process on such an image.
        return np.zeros((*source.shape, 2), np.float32)
    return _other_process().submit(register, source, target).result()


def _find_itk() -> None:
    if find_spec('itk') is None:
        require('itk', 'fields of elastix', extra='bench')


def _load_cv2() -> ModuleType:
    return require('cv2', 'fields of dis', extra='bench')


def _load_skimage() -> ModuleType:
    return skimage.registration


class _Solver(NamedTuple):
    solve: Callable[[Gray, Gray], Flow]
    load: Callable[[], ModuleType | None]
    package: str


_SOLVERS = {
    'tvl1': _Solver(_tvl1, _load_skimage, 'scikit-image'),
    'ilk': _Solver(_ilk, _load_skimage, 'scikit-image'),
    'dis': _Solver(_dis, _load_cv2, 'opencv-python-headless'),
    'elastix': _Solver(_elastix, _find_itk, 'itk-elastix'),
}


class DenseFlow(Method):
    """A dense solver on gray images of working size, in both directions."""

    def __init__(self, name: str, *, size: int = 256) -> None:
        self.name = name
        self._size = size
        self._solver = _SOLVERS[name]
        self.packages = (self._solver.package,)

    def prepare(self) -> None:
        self._solver.load()

    def answer(self, pair: Pair) -> Answer:
        source, target = (
            rgb2gray(to_working(image, size=self._size)).astype(np.float32)
            for image in (pair.source, pair.target)
        )
        solve = self._solver.solve
        return Answer(
            from_fields(
                pair,
                solve(source, target) / self._size,
                solve(target, source) / self._size,
            )
        )

    def follow(self, pair: Pair) -> Answer:
        """Carry the labels from each frame to the next, as flow is meant."""
        labels = pair.references[0].labels
        series = []
        for before, after in pairwise(pair.frames):
            step = replace(pair, source=before, target=after, frames=())
            answer = self.answer(step)
            labels = answer.carried_labels(labels)
            series.append(labels)
        return replace(answer, series=series)
