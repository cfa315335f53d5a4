"""Matching on features of another network: a small vision transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from skimage.transform import resize, warp
from torch import Tensor, nn

from napari_samnet import InputError, match
from napari_samnet.samnet.upsample import SAMPLES


class VisionTransformer(nn.Module):
    """Random weights, patches of 14 pixels, one block of attention."""

    def __init__(self, patch: int = 14, width: int = 96) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch = patch
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.block = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, batch_first=True
        )

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        side = images.shape[-1] // self.patch
        images = nn.functional.interpolate(
            images, size=(side * self.patch,) * 2, mode='bilinear'
        )
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        tokens = self.block(tokens)
        return tokens.transpose(1, 2).unflatten(2, (side, side))


@pytest.fixture(scope='module')
def transformer() -> VisionTransformer:
    return VisionTransformer().eval()


@pytest.fixture(scope='module')
def photographs() -> tuple[Any, Any]:
    """A photograph, and the same moved by 28 pixels to the right."""
    image = resize(data.astronaut(), (256, 256), anti_aliasing=True)
    moved = warp(image, lambda at: at - (28, 0), mode='edge')
    return image.astype(np.float32), moved.astype(np.float32)


def test_a_shift_is_found(
    transformer: VisionTransformer, photographs: tuple[Any, Any]
) -> None:
    result = match(*photographs, features=transformer, fine=False)
    inside = result.flow[32:-32, 32:-64]
    assert np.abs(np.median(inside, axis=(0, 1)) - (0, 28)).max() < 3
    # 18 tokens a side, and SAMPLES of the field for each.
    assert result.forward.shape == (18 * SAMPLES, 18 * SAMPLES, 2)
    assert result.metadata['weights']['name'] == 'given features'
    assert result.metadata['orientation'] is not None


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'features': 'dinov2'}, 'must be a function'),
        ({'features': lambda _: 1}, 'must give a float tensor'),
        ({'features': lambda x: x[:, :, 0]}, 'must give a float tensor'),
        ({'features': lambda x: x / 0}, 'must give finite values'),
        ({'features': lambda x: x[..., :4, :4]}, 'window must not be larger'),
        ({'feedback': 'image'}, "feedback 'image' needs"),
        ({'alikeness': 0}, 'alikeness 0 needs'),
        ({'init': 'identity'}, "init 'identity' needs"),
    ],
    ids=[
        'a name',
        'a number as answer',
        'three axes',
        'infinite values',
        'four columns',
        'feedback',
        'round windows',
        'identity start',
    ],
)
def test_what_cannot_be_is_said(
    options: dict[str, Any], text: str, photographs: tuple[Any, Any]
) -> None:
    given = {'features': lambda x: x, 'size': 64, 'window': 5, **options}
    with pytest.raises(InputError, match=text):
        match(*photographs, **given)
