"""Directions in which a network's matching features tell places apart.

``python -m napari_samnet.training.projection IMAGES --out FILE`` writes the
network with them. Features are then matched in these directions alone, which
takes a fraction of the time; the rest of the network stays as it is.

They are the principal directions of the difference between cells of one image
that lie close to each other, for these are what a match must tell apart. Those
of the features themselves say more of what an image shows than of where, and
places are found less exactly in them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_samnet.datasets.image_lists import read_images, split
from napari_samnet.errors import InputError
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.weights import get_weights, read_model, save_model
from napari_samnet.samnet.features import VGGFeatures
from napari_samnet.samnet.network import SAMNet
from napari_samnet.training.commands import image_parser, run_command
from napari_samnet.training.data import read_some, to_tensor

#: Directions that are kept.
CHANNELS = 384

#: Distance in cells of those that are to be told apart.
APART = 2


@torch.inference_mode()
def find_projection(
    network: VGGFeatures,
    images: Iterable[np.ndarray],
    channels: int = CHANNELS,
) -> tuple[Tensor, float]:
    """Principal directions of the difference of cells that lie close by.

    The mean feature is one of them, so that cosines stay what they are.

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
    model: SAMNet, projection: Tensor, taught: Tensor | None = None
) -> SAMNet:
    """The same network, with that projection of its matching features.

    ``projection``: ``(matching channels, channels)``, the new projection.
    ``taught``: of the same shape, in which likelier matches are told; by
    default they are told in the projection itself.
    """
    config = replace(
        model.config,
        projection=projection.shape[1],
        taught=taught is not None,
    )
    other = SAMNet(config)
    state = {**model.state_dict(), 'features.projection': projection}
    state.pop('features.taught', None)
    if taught is not None:
        state['features.taught'] = taught
    other.load_state_dict(state)
    return other.eval().requires_grad_(False)


def main(words: Sequence[str] | None = None) -> None:
    """Find the directions and write the network with them."""
    parser = image_parser(
        'projection',
        'Give a network directions that it is matched fast in.',
    )
    parser.add_argument('--out', type=Path, required=True, help='weights file')
    parser.add_argument(
        '--channels', type=int, default=CHANNELS, help='number of directions'
    )
    parser.add_argument(
        '--count', type=int, default=256, help='number of images looked at'
    )
    run_command(parser, _project, words)


def _project(args: argparse.Namespace) -> None:
    from safetensors import safe_open

    weights = get_weights(os.fspath(args.weights))
    model = read_model(weights.path)
    train, _ = split(read_images(args.images, root=args.root))
    photographs = read_some(train, args.count, MatchOptions.size)
    projection, kept = find_projection(
        model.features, photographs, args.channels
    )
    with safe_open(weights.path, framework='pt') as file:
        notes = file.metadata() or {}
    digest = save_model(
        with_projection(model, projection), args.out, notes=notes
    )
    sys.stdout.write(
        f'{args.out}: {projection.shape[1]} of {projection.shape[0]} '
        f'channels keep {kept:.1%} of what differs, SHA-256 {digest}\n'
    )


if __name__ == '__main__':
    main()
