"""What is computed in another way than torch's own says the same."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_samnet.samnet.bilateral_window import bilateral_window
from napari_samnet.samnet.exponentials import exp_
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.pointwise import pointwise
from napari_samnet.samnet.pooling import mean_around, pooled


def test_exponentials_in_place_however_small():
    values = torch.linspace(-120, 2, 1001)
    given = values.clone()
    assert exp_(given) is given
    torch.testing.assert_close(given, values.double().exp().float())


def test_exponentials_let_gradients_through():
    values = torch.randn(20, requires_grad=True)
    exp_(values * 1).sum().backward()
    torch.testing.assert_close(values.grad, values.detach().exp())


@pytest.mark.parametrize('size', [(2, 24, 8, 12), (1, 24, 5, 7)])
def test_channels_are_combined_in_every_cell(size):
    maps = torch.randn(size).contiguous(memory_format=torch.channels_last)
    matrix = torch.randn(24, 6)
    wanted = torch.einsum('bchw,cd->bdhw', maps, matrix)
    found = pointwise(maps, matrix)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('factor', [1, 2, 3, 4, 6])
def test_means_of_squares(factor):
    maps = torch.randn(2, 3, 24, 36)
    found = pooled(maps, factor)
    torch.testing.assert_close(found, F.avg_pool2d(maps, factor))


@pytest.mark.parametrize('size', [(7, 9), (1, 5), (2, 2), (1, 1)])
def test_means_around_of_what_is_inside(size):
    maps = torch.randn(2, 3, *size)
    wanted = F.avg_pool2d(maps, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(mean_around(maps), wanted)


@pytest.mark.parametrize('side', [12, 40])
def test_windows_in_whole_numbers(side):
    features = normalize(torch.randn(2, 96, side, side))
    exact, whole = (
        bilateral_window(features, sigma=4.0, alikeness=0.3, whole=way)
        for way in (False, True)
    )
    assert len(exact.strips) == len(whole.strips)
    for one, other in zip(exact.strips, whole.strips, strict=True):
        # A thousandth of a cosine, over the alikeness.
        torch.testing.assert_close(one, other, atol=0.02, rtol=0)
