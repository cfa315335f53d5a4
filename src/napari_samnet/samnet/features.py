"""W_F: shared VGG features and their skip pyramid (Sec. 4.2).

One network sees source, target and synthesized image. It gives

* the *content* feature relu4_1, which the attribute transfer blends (8),
* the *skip* features relu3_1, relu2_1, relu1_1 of the droplink decoder (10),
* the *matching* feature, in which the correlation (5) is taken. The paper
  uses relu4_1 for it; deeper layers, each L2-normalized and concatenated,
  are more accurate, and so are those of a second network beside VGG, see
  :mod:`.efficientnet_lite`. Together they have many more channels than
  directions in which places differ: projected to the main ones, they match
  as well in a fraction of the time. What is taught beside the projection is
  a network that looks at the surroundings, see :mod:`.context`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.samnet.context import ContextNetwork
from napari_samnet.samnet.efficientnet_lite import LITE_CHANNELS, LiteFeatures
from napari_samnet.samnet.pointwise import pointwise
from napari_samnet.samnet.taught_blocks import ENTRY, TaughtBlocks
from napari_samnet.samnet.vgg_plan import layer_plan

CONTENT_LAYER = 'relu4_1'
SKIP_LAYERS = ('relu3_1', 'relu2_1', 'relu1_1')


class Features(NamedTuple):
    """What one encoding of a batch of images gives."""

    #: ``(B, C, H, W)``, unit length along C.
    matching: Tensor
    #: ``(B, 512, H, W)``, relu4_1, blended in (8).
    content: Tensor
    #: relu3_1, relu2_1 and relu1_1: levels h = 3, 2, 1 of (10). Empty if they
    #: were not asked for.
    skips: tuple[Tensor, ...]
    #: ``(B, C', H, W)``, unit length along C': all channels that `matching` is
    #: projected from, if they were asked for.
    unprojected: Tensor | None = None

    def part(self, images: slice) -> Features:
        """Features of some images of the batch, as views."""
        return Features(
            self.matching[images],
            self.content[images],
            tuple(skip[images] for skip in self.skips),
            None if self.unprojected is None else self.unprojected[images],
        )


def normalize(features: Tensor, eps: float = 1e-6) -> Tensor:
    """Scale every feature vector to unit length; zero vectors stay zero.

    ``features``: ``(B, C, H, W)``.
    ``eps``: smallest length that is divided by, relative to the mean length,
    so that the result does not depend on the scale of the features.
    """
    length = features.norm(dim=1, keepdim=True)
    floor = eps * length.mean(dim=(1, 2, 3), keepdim=True)
    return features / torch.maximum(length, floor.clamp_min(1e-30))


class VGGFeatures(nn.Module):
    """VGG-16 or VGG-19 up to the deepest layer that is asked for.

    ``backbone``: which VGG. The paper's is VGG-19.
    ``matching_layers``: layers of the matching feature, from relu3_1 on.
    ``('relu4_1',)`` is the paper's. After those of VGG, there may be some of
    :data:`~napari_samnet.samnet.efficientnet_lite.LITE_CHANNELS`.
    ``dilated``: whether the last block sees every cell of relu4_1: the pooling
    before it goes on by one cell and its convolutions look at every second
    one, with the weights as they are.

    ``mean`` and ``std`` travel with the weights: RGB in [0, 1] becomes
    ``(x - mean) / std`` before the first convolution. Zero padding as in the
    original network. ``projection`` is ``(channels, projected channels)``,
    and the network of `context` channels and `context_layers` adds to what is
    projected; with `taught_blocks` it sees these as well. To `likeness`
    channels, if any, :meth:`likeness_feature` projects.
    """

    mean: Tensor
    std: Tensor
    #: Channels that the matching feature can be projected to, 0 for none.
    projection: Tensor | None
    #: Another projection, in which things are compared and not their places.
    likeness: Tensor | None

    def __init__(
        self,
        *,
        backbone: str = 'vgg16',
        matching_layers: Sequence[str] = ('relu4_3', 'relu5_1'),
        dilated: bool = False,
        projection: int = 0,
        context: int = 0,
        context_layers: int = 2,
        taught_blocks: bool = False,
        likeness: int = 0,
    ) -> None:
        super().__init__()
        plan = layer_plan(backbone)
        names = [name for name, _ in plan]
        known = list(LITE_CHANNELS)
        light = [layer for layer in matching_layers if layer in known]
        backbone_layers = matching_layers[: len(matching_layers) - len(light)]
        if not backbone_layers:
            raise ValueError('there must be at least one matching layer')
        for layer in backbone_layers:
            if layer not in names or layer < 'relu3_1':
                raise ValueError(
                    f'matching layers must be relu3_1 or deeper of '
                    f'{backbone}, then {", ".join(known)}, got '
                    f'{layer!r}'
                )
        self.backbone = backbone
        self.matching_layers = tuple(matching_layers)
        self.dilated = dilated
        self.light = LiteFeatures(light) if light else None
        self._wanted = {*backbone_layers, CONTENT_LAYER}
        wanted = self._wanted
        last = max(names.index(name) for name in wanted)
        self.convolutions = nn.ModuleDict()
        previous = 3
        for name, channels in plan[: last + 1]:
            key = name.replace('relu', 'conv')
            reach = 2 if self.is_dilated(key) else 1
            self.convolutions[key] = nn.Conv2d(
                previous, channels, 3, padding=reach, dilation=reach
            )
            previous = channels
        self.register_buffer('mean', torch.zeros(3))
        self.register_buffer('std', torch.ones(3))
        shape = (self.matching_channels, projection)
        self.register_buffer(
            'projection', torch.zeros(shape) if projection else None
        )
        self.register_buffer(
            'likeness',
            torch.zeros(shape[0], likeness) if likeness else None,
        )
        if context and not projection:
            raise ValueError('context is added to a projection: there is none')
        self.taught = TaughtBlocks(light) if taught_blocks else None
        if self.taught is not None:
            if self.light is None or not context:
                raise ValueError(
                    'taught blocks continue the light network and are seen '
                    'by the context: both must be there'
                )
            self.light.also = (ENTRY,)
        further = 0 if self.taught is None else self.taught.channels
        self.context = (
            ContextNetwork(
                shape[0] + further, context, projection, layers=context_layers
            )
            if context
            else None
        )

    @property
    def layer_channels(self) -> tuple[int, ...]:
        """Channels of each matching layer."""
        channels = {**dict(layer_plan(self.backbone)), **LITE_CHANNELS}
        return tuple(channels[layer] for layer in self.matching_layers)

    @property
    def matching_channels(self) -> int:
        """Channels of the matching feature before it is projected."""
        return sum(self.layer_channels)

    def is_projected(self, matching: Tensor) -> bool:
        """Whether a matching feature of this network is a projected one."""
        return matching.shape[1] != self.matching_channels

    def is_dilated(self, key: str) -> bool:
        """Whether a convolution, such as ``'conv5_1'``, is dilated."""
        return self.dilated and key > 'conv5'

    def activations(
        self,
        x: Tensor,
        wanted: set[str],
        *,
        after: str | None = None,
    ) -> dict[str, Tensor]:
        """Rectified outputs of the wanted layers; nothing deeper is computed.

        ``x``: normalized images ``(B, 3, H, W)``, or with `after` the output
        of that layer.
        ``wanted``: names such as ``'relu4_1'``.
        ``after``: continue after this layer.
        """
        keys = list(self.convolutions)
        start = 0
        if after is not None:
            start = keys.index(after.replace('relu', 'conv')) + 1
        maps: dict[str, Tensor] = {}
        for position in range(start, len(keys)):
            key = keys[position]
            dilated = self.is_dilated(key)
            if position and key[4] != keys[position - 1][4]:
                x = _pooled_everywhere(x) if dilated else F.max_pool2d(x, 2)
            x = F.relu(self.convolutions[key](x))
            name = key.replace('conv', 'relu')
            if name in wanted:
                maps[name] = x
                if len(maps) == len(wanted):
                    break
        return maps

    def prepare(self, images: Tensor) -> Tensor:
        """Normalize ``(B, 3, H, W)`` RGB images in [0, 1] for this VGG."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f'images must be (B, 3, H, W), got {tuple(images.shape)}'
            )
        shape = (1, 3, 1, 1)
        x = (images - self.mean.view(shape)) / self.std.view(shape)
        weight = self.convolutions['conv1_1'].get_parameter('weight')
        return x.to(weight.dtype)

    def layers(
        self, images: Tensor, more: Iterable[str] = ()
    ) -> dict[str, Tensor]:
        """Outputs of both networks: matching layers, relu4_1 and others.

        ``images``: ``(B, 3, H, W)`` RGB in [0, 1].
        """
        wanted = {*self._wanted, *more}
        # The light one first: of two images that are described at once, the
        # other's may wait for the cores that VGG has for itself.
        light = {} if self.light is None else self.light(images)
        return self.activations(self.prepare(images), wanted) | light

    def matching_feature(
        self, maps: dict[str, Tensor], *, project: bool = True
    ) -> Tensor:
        """Join the normalized matching layers on the relu4_1 grid.

        ``maps``: matching layers, and relu4_1 for its size.
        ``project``: project them, where the network can. Otherwise they are
        concatenated.
        Returns: ``(B, C, H, W)``, unit length along C.
        """
        size = maps[CONTENT_LAYER].shape[-2:]
        parts = [
            normalize(maps[layer].float()) for layer in self.matching_layers
        ]
        if project and self.context is not None:
            channels = self.matching_feature(maps, project=False)
            return self.projected(channels, maps)
        if project and self.projection is not None:
            # It commutes with the interpolation, which then has less to do.
            matrices = self.projection.split(self.layer_channels)
            projected = (
                _resized(pointwise(part, matrix).float(), size)
                for part, matrix in zip(parts, matrices, strict=True)
            )
            return normalize(reduce(torch.add, projected))
        parts = [_resized(part, size) for part in parts]
        return normalize(parts[0] if len(parts) == 1 else torch.cat(parts, 1))

    def projected(
        self, channels: Tensor, maps: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Project a matching feature that has all channels.

        ``channels``: ``(B, C, H, W)`` of unit length along C.
        ``maps``: of :meth:`layers`, for the blocks that were taught.
        Returns: of unit length along its channels.
        """
        assert self.projection is not None
        y = pointwise(channels, self.projection)
        if self.context is not None:
            seen = channels
            if self.taught is not None:
                assert maps is not None
                more = self.taught(maps[ENTRY], channels.shape[-2:])
                seen = torch.cat((channels, more), 1)
            y = y + self.context(seen)
        return normalize(y.float())

    def likeness_feature(self, channels: Tensor) -> Tensor | None:
        """Feature by which it is told whether two places show the same thing.

        What a match is taught by, the parts of animals, makes things that are
        none as alike as things that are.

        ``channels``: matching feature that has all channels.
        Returns: of unit length along its channels; None if the network has no
        directions of its own for it.
        """
        if self.likeness is None:
            return None
        return normalize(pointwise(channels, self.likeness).float())

    def forward(
        self,
        images: Tensor,
        *,
        skips: bool = True,
        project: bool = True,
        unprojected: bool = False,
    ) -> Features:
        """Encode images.

        ``images``: ``(B, 3, H, W)`` RGB in [0, 1], H and W multiples of 16.
        ``skips``: whether to keep the skips, which are by far the largest
        part.
        ``unprojected``: whether to keep all channels beside a projection.
        Returns: on the grid of relu4_1, ``H/8`` by ``W/8`` cells.
        """
        kept = SKIP_LAYERS if skips else ()
        maps = self.layers(images, kept)
        project = project and self.projection is not None
        channels = None
        if project and (unprojected or self.context is not None):
            channels = self.matching_feature(maps, project=False)
        return Features(
            self.matching_feature(maps, project=project)
            if channels is None
            else self.projected(channels, maps),
            maps[CONTENT_LAYER],
            tuple(maps[name] for name in kept),
            channels if unprojected else None,
        )

    def match_only(self, images: Tensor, *, project: bool = True) -> Tensor:
        """Matching feature of images, without keeping the skips."""
        return self.matching_feature(self.layers(images), project=project)

    def continue_from_content(
        self, content: Tensor, matching: Tensor | None = None
    ) -> Tensor:
        """Whole matching feature from relu4_1 on, for a blend of (8).

        ``content``: ``(B, 512, H, W)``.
        ``matching``: ``(B, C, H, W)`` blended matching feature, not projected,
        of which the layers of the light network are taken. Needed where there
        is one.
        """
        wanted = self._wanted - {CONTENT_LAYER}
        if any(layer < CONTENT_LAYER for layer in wanted):
            raise ValueError(
                f'matching layers before {CONTENT_LAYER} cannot be had from '
                f'it: {sorted(wanted)}'
            )
        maps = {CONTENT_LAYER: content}
        if wanted:
            maps |= self.activations(content, wanted, after=CONTENT_LAYER)
        if self.light is not None:
            if matching is None:
                raise ValueError(
                    'the light network starts from images: its part of the '
                    'matching feature must be given'
                )
            if self.is_projected(matching):
                raise ValueError(
                    f'the matching feature must have all '
                    f'{self.matching_channels} channels to be carried on, '
                    f'got {tuple(matching.shape)}'
                )
            sizes = [LITE_CHANNELS[layer] for layer in self.light.layers]
            parts = matching[:, -sum(sizes) :].split(sizes, 1)
            maps |= dict(zip(self.light.layers, parts, strict=True))
        return self.matching_feature(maps, project=False)


def _pooled_everywhere(x: Tensor) -> Tensor:
    """Largest of 2 by 2 from every cell on, on the same grid."""
    # Rectified, so that zeros beyond the edge are never larger.
    return F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)


def _resized(part: Tensor, size: Sequence[int]) -> Tensor:
    """A layer on another grid, bilinearly."""
    if part.shape[-2:] == size:
        return part
    return F.interpolate(
        part, size=tuple(size), mode='bilinear', align_corners=False
    )
