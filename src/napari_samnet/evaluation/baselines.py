"""Dense flow and registration from other packages, to stand next to.

All see the images as the network does: both resized to size x size, so that
what is compared is the method and not the resolution. Each runs once per
direction.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import NamedTuple

import numpy as np
import skimage.registration
from numpy.typing import NDArray
from skimage.color import rgb2gray

from napari_samnet.evaluation.benchmark import Answer, Method, Pair
from napari_samnet.evaluation.methods import from_fields, require
from napari_samnet.images import to_working

__all__ = ['DenseFlow']

Grey = NDArray[np.float32]
Flow = NDArray[np.floating]

#: Range of grey values below which an image shows nothing.
FLAT = 1 / 255


def _tvl1(source: Grey, target: Grey) -> Flow:
    return np.stack(
        skimage.registration.optical_flow_tvl1(source, target), axis=-1
    )


def _ilk(source: Grey, target: Grey) -> Flow:
    return np.stack(
        skimage.registration.optical_flow_ilk(source, target), axis=-1
    )


def _dis(source: Grey, target: Grey) -> Flow:
    cv2 = _load_cv2()
    images = [
        np.round(image * 255).astype(np.uint8) for image in (source, target)
    ]
    solver = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow: Flow = solver.calc(*images, None)
    return flow[..., ::-1]


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Let ITK load.

    It loads its parts on first use. Their wrappers warn then, and end the
    process where warnings are errors.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def _load_itk() -> ModuleType:
    with _without_warnings():
        return require('itk', 'itk-elastix', 'elastix')


def _elastix(source: Grey, target: Grey) -> Flow:
    """Affine, then B-spline, with elastix's own default parameters."""
    still = np.zeros((*source.shape, 2), np.float32)
    if min(np.ptp(source), np.ptp(target)) < FLAT:
        # elastix's mutual information ends the process on such an image.
        return still
    itk = _load_itk()
    with _without_warnings():
        parameters = itk.ParameterObject.New()
        for kind in ('affine', 'bspline'):
            settings = parameters.GetDefaultParameterMap(kind)
            # Large motion takes most samples out of the other image.
            settings['RequiredRatioOfValidSamples'] = ['0.05']
            parameters.AddParameterMap(settings)
        fixed, moving = (
            itk.image_from_array(np.ascontiguousarray(image))
            for image in (source, target)
        )
        try:
            _, transform = itk.elastix_registration_method(
                fixed,
                moving,
                parameter_object=parameters,
                log_to_console=False,
                number_of_threads=1,
            )
        except RuntimeError:
            # elastix gives up on pairs whose grey values have nothing in
            # common; such a pair counts as not moved.
            return still
        # It leaves the field in a file as well.
        with TemporaryDirectory() as folder:
            field = itk.transformix_deformation_field(
                moving, transform, output_directory=folder
            )
            flow: Flow = np.array(itk.array_from_image(field))
    return flow[..., ::-1]


def _load_cv2() -> ModuleType:
    return require('cv2', 'opencv-python-headless', 'dis')


def _load_skimage() -> ModuleType:
    return skimage.registration


class _Solver(NamedTuple):
    solve: Callable[[Grey, Grey], Flow]
    load: Callable[[], ModuleType]
    package: str


_SOLVERS = {
    'tvl1': _Solver(_tvl1, _load_skimage, 'scikit-image'),
    'ilk': _Solver(_ilk, _load_skimage, 'scikit-image'),
    'dis': _Solver(_dis, _load_cv2, 'opencv-python-headless'),
    'elastix': _Solver(_elastix, _load_itk, 'itk-elastix'),
}


class DenseFlow(Method):
    """A dense solver on grey images of working size, in both directions.

    Parameters
    ----------
    name : {'tvl1', 'ilk', 'dis', 'elastix'}
        Which one, with its package's default parameters.
    size : int
        Side that both images are resized to.
    """

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
