"""Directions in which a network's matching features tell places apart.

Features are matched in these directions alone, which takes a fraction of the
time; the rest of the network stays as it is.

They are the principal directions of the difference between cells of one image
that lie close to each other, for these are what a match must tell apart. Those
of the features themselves say more of what an image shows than of where, and
places are found less exactly in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from napari_samnet.errors import InputError
from napari_samnet.samnet.context import ContextNetwork
from napari_samnet.samnet.features import VGGFeatures
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.taught_blocks import TaughtBlocks
from napari_samnet.training.data import to_tensor

#: Distance in cells of those that are to be told apart.
APART = 2


@torch.inference_mode()
def find_projection(
    network: VGGFeatures,
    images: Iterable[np.ndarray],
    channels: int,
) -> tuple[Tensor, float]:
    """Principal directions of the difference of cells that lie close by.

    The mean feature is one of them, so that cosines stay what they are.

    ``channels``: directions that are kept.
    Returns: ``projection``: ``(matching channels, channels)``, orthonormal
    columns; ``kept``: share of the differences' squared length that lies in
    them.
    Raises InputError if the features have fewer channels, or there is no
    image.
    """
    whole = network.matching_channels
    if not 1 <= channels <= whole:
        raise InputError(
            f'channels must be from 1 to {whole}, those of the matching '
            f'feature, got {channels}'
        )
    moments = torch.zeros(whole, whole, dtype=torch.float64)
    mean = torch.zeros(whole, 1, dtype=torch.float64)
    for image in images:
        features = network.match_only(to_tensor([image]), project=False)[0]
        mean += features.mean((1, 2)).double()[:, None]
        for axis in (1, 2):
            count = features.shape[axis] - APART
            apart = features.narrow(axis, APART, count)
            apart = (apart - features.narrow(axis, 0, count)).flatten(1)
            moments += (apart @ apart.T).double()
    if not mean.any():
        raise InputError('there must be at least one image, got none')
    # In ascending order.
    vectors = torch.linalg.eigh(moments).eigenvectors
    strongest = vectors[:, whole - channels + 1 :].flip(1)
    directions = torch.linalg.qr(torch.cat((mean, strongest), 1)).Q
    kept = torch.trace(directions.T @ moments @ directions) / torch.trace(
        moments
    )
    return directions.float().contiguous(), float(kept)


def with_projection(
    model: SAMNet,
    projection: Tensor,
    context: ContextNetwork | None = None,
    blocks: TaughtBlocks | None = None,
) -> SAMNet:
    """The same network, with that projection of its matching features.

    ``projection``: ``(matching channels, channels)``, the new projection.
    ``context``: what is added to it, seeing all matching channels, and what
    the ``blocks`` say, if there are any.
    """
    config = replace(
        model.config,
        projection=projection.shape[1],
        context=0 if context is None else context.enter.out_channels,
        context_layers=2 if context is None else len(context.around),
        taught_blocks=blocks is not None,
    )
    other = SAMNet(config)
    state = {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith(('features.context', 'features.taught'))
    }
    state['features.projection'] = projection
    for part, module in (('context', context), ('taught', blocks)):
        if module is not None:
            for name, value in module.state_dict().items():
                state[f'features.{part}.{name}'] = value
    other.load_state_dict(state)
    return other.eval().requires_grad_(False)


def with_likeness(model: SAMNet, projection: Tensor) -> SAMNet:
    """The same network, with directions in which things are compared.

    ``projection``: ``(matching channels, channels)``, for
    :meth:`~napari_samnet.samnet.features.VGGFeatures.likeness_feature`.
    """
    other = SAMNet(replace(model.config, likeness=projection.shape[1]))
    other.load_state_dict(
        {**model.state_dict(), 'features.likeness': projection}
    )
    return other.eval().requires_grad_(False)
