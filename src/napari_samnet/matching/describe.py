"""Matching features of single images, in their own proportions."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from napari_samnet.arrays.recently_used import RecentlyUsed
from napari_samnet.images.plane import Plane
from napari_samnet.images.rgb import shrunken, working_shape
from napari_samnet.labels.similar import CellFeatures
from napari_samnet.matching.pair import cell_features, tells_likeness
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.devices import (
    out_of_memory_explained,
    resolve_execution_target,
)
from napari_samnet.runtime.weights import get_weights

#: Images whose features are kept, and the bytes that they may take.
MOST_IMAGES = 512
MOST_BYTES = 512 * 2**20


class Describer:
    """Computes matching features, once for each image.

    ``options``: its weights, device, precision, backend and working size are
    used. The shorter side of each image becomes `size` pixels long, the longer
    one in proportion, at most twice as long.
    Raises InputError if the weights or the device cannot be used.
    """

    def __init__(self, options: MatchOptions) -> None:
        self._options = options
        self.weights = get_weights(options.weights)
        self.place = resolve_execution_target(
            options.device,
            options.precision,
            options.backend,
            weights=self.weights,
        )
        self._recent: RecentlyUsed[CellFeatures] = RecentlyUsed(
            count=MOST_IMAGES,
            limit=MOST_BYTES,
            nbytes=lambda features: sum(part.nbytes for part in features),
            least=1,
        )
        self.encoded = 0

    def __call__(self, plane: Plane) -> CellFeatures:
        """Describe an image.

        Returns: unit vectors of float16 for each cell of 8 pixels at working
        size.
        """
        shape = working_shape(plane.shape, self._options.size)
        picture = np.ascontiguousarray(shrunken(plane, shape))
        key = hashlib.blake2b(
            picture.tobytes() + repr(shape).encode(), digest_size=16
        ).hexdigest()
        features = self._recent.get(key)
        if features is None:
            features = self._encode(picture)
            self.encoded += 1
            self._recent.put(key, features)
        return features

    def _encode(self, picture: Any) -> CellFeatures:
        import torch

        from napari_samnet.runtime.loading import load_model
        from napari_samnet.runtime.precision import convolutions

        place = self.place
        with (
            torch.inference_mode(),
            out_of_memory_explained(place.device, self._options.size),
            convolutions(place.device, exact=False),
        ):
            model = load_model(
                self._options.weights,
                device=place.device,
                precision=place.precision,
                backend=place.backend,
            )
            batch = torch.from_numpy(picture).permute(2, 0, 1)[None]
            batch = batch.to(place.device).contiguous(
                memory_format=torch.channels_last
            )
            found = model.encode(
                batch,
                skips=False,
                project=not tells_likeness(model),
                unprojected=True,
            )
            parts = cell_features(model, found)
            return CellFeatures(
                *(part.astype(np.float16, order='C') for part in parts)
            )
