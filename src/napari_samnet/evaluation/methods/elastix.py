"""Registration by elastix, made to run in a process of its own."""

from __future__ import annotations

import warnings
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray


def register(
    source: NDArray[np.float32], target: NDArray[np.float32]
) -> NDArray[np.floating]:
    """Flow from source to target: affine, then B-spline.

    ``source``, ``target`` (H, W): gray images of one shape, with some
    contrast.
    Returns: (H, W, 2): displacement (row, column) in pixels; zero where
    elastix gives up.
    """
    with warnings.catch_warnings():
        # ITK loads its parts on first use, and their wrappers warn then.
        warnings.simplefilter('ignore')
        import itk

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
            # elastix gives up on pairs whose gray values have nothing in
            # common; such a pair counts as not moved.
            return np.zeros((*source.shape, 2), np.float32)
        # It leaves the field in a file as well.
        with TemporaryDirectory() as folder:
            field = itk.transformix_deformation_field(
                moving, transform, output_directory=folder
            )
            flow = np.array(itk.array_from_image(field))
    return flow[..., ::-1].copy()
