"""Images as features of the network, kept by their content."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from napari_samnet.arrays.types import FloatArray
from napari_samnet.errors import InputError
from napari_samnet.options import MatchOptions

if TYPE_CHECKING:
    from napari_samnet.runtime.devices import ExecutionTarget
    from napari_samnet.samnet.features import Features
    from napari_samnet.samnet.network import SAMNet


class ImageEncoder:
    """Encodes the images of a match, all in the same way.

    ``place``: where the model is.
    ``weights``: hash of the weights, for the cache of features; nothing is
    kept without one.
    ``unproject``: whether all channels are wanted beside those that the field
    is matched by.
    """

    def __init__(
        self,
        model: SAMNet,
        options: MatchOptions,
        place: ExecutionTarget,
        weights: str,
        *,
        unproject: bool,
    ) -> None:
        self.place = place
        # Whether cached features must hold the layers that the decoder
        # links to.
        self.skips = options.attributes and options.feedback == 'image'
        self._model = model
        self._weights = weights
        self._exact = options.reference
        # From a blended relu4_1 on, the feature network needs all channels.
        self._project = options.feedback != 'continue'
        self._unproject = unproject
        #: Whether what was encoded is there when it is asked for again.
        self.keeps = bool(weights) and not options.reference
        # What was encoded last, since finding it in the cache means reading
        # the image.
        self._last: list[tuple[FloatArray, bool, Features]] = []

    def __call__(self, image: FloatArray, *, project: bool = True) -> Features:
        """Features of one image, from the cache if they are there.

        Never two images at once: it needs half the memory, and the result
        does not depend on what was cached.

        ``project``: whether the channels that the field is matched by are
        wanted, where these are fewer. Without them, all channels are there.
        """
        for known, projected, features in self._last:
            if known is image and projected is project:
                return features
        features = self._encoded(image, project=project)
        self._last = [(image, project, features), *self._last[:1]]
        return features

    def _encoded(self, image: FloatArray, *, project: bool) -> Features:
        """The same, looked up by the content of the image."""
        import torch

        from napari_samnet.runtime.feature_cache import FEATURES
        from napari_samnet.runtime.precision import convolutions

        project = project and self._project
        content = np.ascontiguousarray(image)
        digest = hashlib.blake2b(content.data, digest_size=16).hexdigest()
        key = (
            digest,
            image.shape,
            self._weights,
            self.place,
            project,
            self._unproject,
        )
        features = None
        if self.keeps:
            features = FEATURES.get(key, skips=self.skips)
        if features is not None:
            return features
        batch = torch.from_numpy(image).permute(2, 0, 1)[None]
        batch = batch.to(self.place.device)
        if not self._exact:
            batch = batch.contiguous(memory_format=torch.channels_last)
        with convolutions(self.place.device, exact=self._exact):
            try:
                features = self._model.encode(
                    batch,
                    skips=self.skips,
                    project=project,
                    unprojected=self._unproject,
                )
            except ValueError as error:
                raise InputError(str(error)) from error
        if self.keeps:
            FEATURES.put(key, features)
        return features
