"""The matching on features of any other network.

Whoever has a feature network at hand, a vision transformer say, gives a
function from images to feature maps. It takes the place of W_F; W_G is the
parameter-free part, which nothing was trained for; and there is no decoder, so
that F^{s<-t} is blended from the features themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from napari_samnet.samnet.config import SAMNetConfig
from napari_samnet.samnet.features import Features, normalize
from napari_samnet.samnet.matching import ResidualMatching
from napari_samnet.samnet.network import SAMNet

FeatureFunction = Callable[[Tensor], Tensor]


class GivenFeatures(SAMNet):
    """The recurrence on features that a function gives.

    ``function``: from RGB images ``(B, 3, H, W)`` in [0, 1] to features
    ``(B, C, h, w)`` of any number of channels, stride and sign. Position k of
    a row of w stands for the k-th of w equal parts of the image's width.
    """

    def __init__(self, function: FeatureFunction) -> None:
        nn.Module.__init__(self)
        self.config = SAMNetConfig()
        self.matcher = ResidualMatching(width=1)
        # In a list, so that torch does not register it as a submodule.
        self._function = [function]

    def encode(
        self,
        images: Tensor,
        *,
        skips: bool = True,  # noqa: ARG002
        project: bool = True,  # noqa: ARG002
        unprojected: bool = False,  # noqa: ARG002
    ) -> Features:
        """Features of ``(B, 3, H, W)`` RGB images in [0, 1].

        The mean over all cells of a map is taken off, which all of them have
        in common and which tells none of them apart.

        ``images``: ``(B, 3, H, W)``.
        ``skips``, ``project``, ``unprojected``: not used: there is nothing to
        skip or project.
        Returns: unit length along C; `content` is the same as `matching`.
        Raises ValueError if what the function gives is no feature map of these
        images.
        """
        maps: object = self._function[0](images)
        if (
            not isinstance(maps, Tensor)
            or maps.ndim != 4
            or len(maps) != len(images)
            or not maps.is_floating_point()
        ):
            shape = getattr(maps, 'shape', None)
            got = type(maps).__name__ if shape is None else tuple(shape)
            raise ValueError(
                f'features must give a float tensor ({len(images)}, C, h, w) '
                f'for images of shape {tuple(images.shape)}, got {got}'
            )
        if not bool(maps.isfinite().all()):
            raise ValueError('features must give finite values, got others')
        maps = maps.detach().float().to(images.device)
        maps = normalize(maps - maps.mean(dim=(2, 3), keepdim=True))
        maps = maps.contiguous(memory_format=torch.channels_last)
        return Features(maps, maps, ())
