"""What the network's features give without the network's matching.

Nearest neighbors and a global affine, on the very features that the
network compares: the difference to its own figures is what iterating,
smoothness and attribute transfer are worth.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import ransac
from skimage.transform import AffineTransform

from napari_samnet.arrays.recently_used import RecentlyUsed
from napari_samnet.arrays.resize import center_grid
from napari_samnet.evaluation.interfaces import Answer, Method, Pair
from napari_samnet.evaluation.methods.base import from_fields
from napari_samnet.images.rgb import to_working
from napari_samnet.options import MatchOptions

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.floating]

#: Matches within this many cells of the affine support it.
INLIER_CELLS = 2.0
TRIALS = 1000

#: Images whose features stay in memory, since lists repeat their images and
#: `nearest` and `affine` want the same ones.
CACHED_IMAGES = 64


def nearest_fields(
    forward: NDArray[np.integer],
    backward: NDArray[np.integer],
    shape: tuple[int, int],
) -> tuple[Array, Array]:
    """Fields that send every cell to its nearest neighbor.

    ``forward``, ``backward``: index of the best cell of the other image.
    ``shape``: cells of both images.
    Returns: ``forward, backward``: displacements in normalized units, constant
    over a cell.
    """
    centers = center_grid(shape).reshape(-1, 2)
    fields = []
    for best in (forward, backward):
        field = (centers[best] - centers).reshape(*shape, 2)
        # Interpolating between neighbors that point apart would invent
        # positions that no cell was matched to.
        fields.append(field.repeat(8, axis=0).repeat(8, axis=1))
    return fields[0], fields[1]


def affine_fields(
    forward: NDArray[np.integer],
    backward: NDArray[np.integer],
    shape: tuple[int, int],
) -> tuple[Array, Array]:
    """Fields of the affine that most mutual nearest neighbors agree on.

    Parameters and results as for :func:`nearest_fields`, but at cell
    resolution. Where no affine can be found, nothing moves.
    """
    still = np.zeros((*shape, 2))
    cells = np.arange(forward.size)
    mutual = backward[forward] == cells
    centers = center_grid(shape).reshape(-1, 2)
    start, end = centers[mutual], centers[forward[mutual]]
    if len(start) < 3:
        return still, still
    model, _ = ransac(
        (start, end),
        AffineTransform,
        min_samples=3,
        residual_threshold=INLIER_CELLS / max(shape),
        max_trials=TRIALS,
        rng=0,
    )
    if not model or abs(np.linalg.det(model.params[:2, :2])) < 1e-3:
        return still, still
    fields = [
        (transform(centers) - centers).reshape(*shape, 2)
        for transform in (model, model.inverse)
    ]
    return fields[0], fields[1]


_ESTIMATORS = {'nearest': nearest_fields, 'affine': affine_fields}


_FEATURES: RecentlyUsed[Tensor] = RecentlyUsed(count=CACHED_IMAGES)


class FeatureMatching(Method):
    """Nearest neighbors of the network's features, or an affine of them.

    ``name``: which estimate of the field, and its name in the results.
    """

    packages = ('torch', 'scikit-image')

    def __init__(self, name: str, options: MatchOptions) -> None:
        self.name = name
        self._options = options
        self._estimate = _ESTIMATORS[name]

    def prepare(self) -> None:
        from napari_samnet.runtime.devices import (
            resolve_device,
            resolve_precision,
        )
        from napari_samnet.runtime.loading import load_model

        self._device = resolve_device(self._options.device)
        self._model = load_model(
            self._options.weights,
            device=self._device,
            precision=resolve_precision(self._options.precision, self._device),
        )

    def details(self) -> dict[str, Any]:
        names = ('weights', 'size', 'device', 'precision')
        options = asdict(self._options)
        return {'options': {name: options[name] for name in names}}

    def _encode(self, image: NDArray[np.float32]) -> Tensor:
        """Matching features of an image, (1, C, height, width)."""
        import torch

        small = to_working(image, size=self._options.size)
        digest = hashlib.blake2b(small.tobytes(), digest_size=16).digest()
        options = self._options
        key = (digest, options.weights, self._device, options.precision)
        features = _FEATURES.get(key)
        if features is None:
            batch = torch.from_numpy(small).permute(2, 0, 1)[None]
            with torch.inference_mode():
                features = self._model.encode(batch.to(self._device)).matching
            _FEATURES.put(key, features)
        return features

    def _neighbors(
        self, pair: Pair
    ) -> tuple[NDArray[np.integer], NDArray[np.integer], tuple[int, int]]:
        """Best cell of the other image, both ways, and the grid's shape."""
        source, target = map(self._encode, (pair.source, pair.target))
        likeness = source[0].float().flatten(1).T @ target[0].float().flatten(
            1
        )
        forward = likeness.argmax(dim=1).cpu().numpy()
        backward = likeness.argmax(dim=0).cpu().numpy()
        height, width = source.shape[-2:]
        return forward, backward, (height, width)

    def answer(self, pair: Pair) -> Answer:
        return Answer(
            from_fields(pair, *self._estimate(*self._neighbors(pair)))
        )
