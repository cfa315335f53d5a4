"""Shared by the tests of the network: smooth features and real weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

if TYPE_CHECKING:
    from napari_samnet.samnet.network import SAMNet

Smooth = Callable[[Tensor], Tensor]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def smooth() -> Smooth:
    """Features that are known at any position, ``(B, 2, H, W)`` in cells.

    Waves of random directions: the cosine of two positions falls with their
    distance like a Gaussian 1.5 cells wide, so that a moved feature map is
    exact instead of interpolated.
    """
    generator = torch.Generator().manual_seed(1)
    waves = torch.randn(512, 2, generator=generator) / 1.5
    phases = 2 * torch.pi * torch.rand(512, 1, 1, generator=generator)

    def at(positions: Tensor) -> Tensor:
        angles = torch.einsum('cd,bdhw->bchw', waves, positions.float())
        waved = torch.cos(angles + phases)
        return waved / waved.norm(dim=1, keepdim=True)

    return at


@pytest.fixture(scope='session')
def shipped() -> SAMNet:
    """The packaged network; not to be changed."""
    from napari_samnet.runtime.loading import load_model

    return load_model('samnet')


@pytest.fixture(scope='session')
def untrained() -> SAMNet:
    """A network of random weights with the paper's matching feature."""
    from napari_samnet.samnet.config import SAMNetConfig
    from napari_samnet.samnet.network import SAMNet

    torch.manual_seed(0)
    config = SAMNetConfig(matching_layers=('relu4_1',), width=4)
    return SAMNet(config).eval()
