"""Correlation (5) and confidence (9), against loops over the equations."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from napari_samnet.samnet.correlation import (
    all_pairs,
    center_index,
    confidence,
    inside_window,
    local_correlation,
    local_correlation_reference,
    merge_sources,
    window_offsets,
)
from napari_samnet.samnet.features import normalize


def cosine(first: list[float], second: list[float]) -> float:
    product = sum(a * b for a, b in zip(first, second, strict=True))
    lengths = math.hypot(*first) * math.hypot(*second)
    return product / lengths if lengths else 0.0


def literal_5(
    source: Tensor,
    transferred: Tensor,
    warped: Tensor,
    window: int,
    weight: float,
) -> Tensor:
    """(5) for every cell i and every p of its window."""
    batch, _, height, width = source.shape
    radius = window // 2
    out = torch.zeros(batch, window * window, height, width).to(source)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                own = source[b, :, y, x].tolist()
                other = transferred[b, :, y, x].tolist()
                for index in range(window * window):
                    row = y + index // window - radius
                    column = x + index % window - radius
                    if not (0 <= row < height and 0 <= column < width):
                        continue
                    goal = warped[b, :, row, column].tolist()
                    out[b, index, y, x] = (1 - weight) * cosine(own, goal)
                    out[b, index, y, x] += weight * cosine(other, goal)
    return out


def literal_9(volume: Tensor, beta: float) -> Tensor:
    """(9) for every cell, over the p of its window that are in the image."""
    batch, count, height, width = volume.shape
    window = math.isqrt(count)
    rows = []
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                total = volume.new_zeros(())
                for index in range(count):
                    row = y + index // window - window // 2
                    column = x + index % window - window // 2
                    if 0 <= row < height and 0 <= column < width:
                        total = total + (beta * volume[b, index, y, x]).exp()
                top = (beta * volume[b, count // 2, y, x]).exp()
                rows.append(top / total)
    return torch.stack(rows).view(batch, 1, height, width)


@pytest.fixture
def features() -> Tensor:
    """Source, transferred and target, each of two odd, oblong maps."""
    return torch.randn(3, 2, 4, 5, 7, dtype=torch.double)


@pytest.mark.parametrize('window', [3, 5])
@pytest.mark.parametrize('weight', [0.0, 0.632, 1.0])
def test_two_terms_as_in_the_paper(
    features: Tensor, window: int, weight: float
) -> None:
    expected = literal_5(*features, window, weight)
    source, transferred, target = map(normalize, features)
    found = local_correlation(
        merge_sources(source, transferred, weight), target, window
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    apart = (1 - weight) * local_correlation_reference(source, target, window)
    apart += weight * local_correlation_reference(transferred, target, window)
    torch.testing.assert_close(apart, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('window', range(3, 22, 2))
def test_fast_is_the_reference_at_any_window(window: int) -> None:
    source, target = torch.randn(2, 2, 3, 21, 23)
    torch.testing.assert_close(
        local_correlation(source, target, window),
        local_correlation_reference(source, target, window),
    )


def test_window_may_fill_the_map() -> None:
    source, target = torch.randn(2, 1, 3, 5, 5, dtype=torch.double)
    torch.testing.assert_close(
        local_correlation(source, target, 5),
        local_correlation_reference(source, target, 5),
    )


def test_displacements_are_in_rows_with_the_center_in_the_middle() -> None:
    """A target that moved by (dx, dy) answers in the channel of (dx, dy)."""
    window, height, width = 5, 9, 11
    marker = torch.zeros(1, 1, height, width)
    marker[0, 0, 4, 5] = 1
    offsets = window_offsets(window, marker)
    assert offsets[center_index(window)].tolist() == [0, 0]
    for index, (dx, dy) in enumerate(offsets.int().tolist()):
        assert index == window * (dy + 2) + dx + 2
        moved = marker.roll((dy, dx), dims=(2, 3))
        volume = local_correlation(marker, moved, window)
        assert volume[0, index, 4, 5] == 1
        assert volume.sum() == 1


def test_outside_is_zero_and_known_as_outside() -> None:
    ones = torch.ones(1, 1, 7, 9)
    volume = local_correlation(ones, ones, 5)
    inside = inside_window(7, 9, 5, ones)
    assert torch.equal(volume > 0, inside)
    assert inside[0, :, 3, 4].all()
    assert inside[0, :, 0, 0].sum() == 9
    assert inside[:, center_index(5)].all()


@pytest.mark.slow
@pytest.mark.parametrize('window', [3, 5])
def test_correlation_gradient(window: int) -> None:
    source, target = torch.randn(2, 2, 3, 5, 7, dtype=torch.double)
    assert torch.autograd.gradcheck(
        lambda a, b: local_correlation(a, b, window),
        (source.requires_grad_(), target.requires_grad_()),
    )


@pytest.mark.parametrize('window', [4, 0, 7, -3])
def test_other_windows_are_refused(window: int) -> None:
    features = torch.randn(1, 3, 5, 9)
    with pytest.raises(ValueError, match=f'at most 5.*got {window}'):
        local_correlation(features, features, window)


def test_other_shapes_are_refused_and_both_named() -> None:
    with pytest.raises(ValueError, match=r'\(1, 3, 5, 9\).*\(1, 3, 5, 8\)'):
        local_correlation(
            torch.randn(1, 3, 5, 9), torch.randn(1, 3, 5, 8), window=3
        )


@pytest.mark.parametrize('beta', [1.0, 10.0])
@pytest.mark.parametrize('window', [3, 5])
def test_confidence_as_in_the_paper(window: int, beta: float) -> None:
    volume = torch.rand(2, window * window, 5, 7, dtype=torch.double) * 2 - 1
    torch.testing.assert_close(
        confidence(volume, beta).double(),
        literal_9(volume, beta),
        rtol=1e-5,
        atol=1e-7,
    )


def test_confidence_is_between_chance_and_certainty() -> None:
    flat = confidence(torch.full((1, 81, 9, 11), 0.3))
    assert math.isclose(flat[0, 0, 4, 5], 1 / 81, rel_tol=1e-5)
    assert math.isclose(flat[0, 0, 0, 0], 1 / 25, rel_tol=1e-5)
    peaked = torch.zeros(1, 81, 9, 11)
    peaked[:, center_index(9)] = 1
    assert confidence(peaked, 1000.0).eq(1).all()
    assert confidence(-peaked, 1000.0).eq(0).all()


def test_confidence_of_half_precision_is_single() -> None:
    volume = torch.rand(1, 9, 5, 7)
    found = confidence(volume.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, confidence(volume), rtol=0.05, atol=0)


def test_confidence_gradient_is_that_of_the_equation() -> None:
    volume = torch.rand(2, 9, 5, 7, dtype=torch.double)
    direction = torch.randn(2, 1, 5, 7, dtype=torch.double)
    gradients = []
    for function in (confidence, literal_9):
        at = volume.clone().requires_grad_()
        (function(at, 10.0) * direction).sum().backward()
        gradients.append(at.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('channels', [80, 16])
def test_confidence_needs_an_odd_square(channels: int) -> None:
    with pytest.raises(ValueError, match=rf'odd K, got \(1, {channels}, '):
        confidence(torch.zeros(1, channels, 5, 5))


def test_all_pairs() -> None:
    source, target = torch.randn(2, 3, 2, 3), torch.randn(2, 3, 4, 5)
    volume = all_pairs(source, target)
    assert volume.shape == (2, 2, 3, 4, 5)
    expected = (source[1, :, 1, 2] * target[1, :, 3, 0]).sum()
    torch.testing.assert_close(volume[1, 1, 2, 3, 0], expected)


_INTERPRETED = """
import torch
from napari_samnet.samnet.correlation import (
    banded_correlation,
    local_correlation_reference,
)
from napari_samnet.samnet.kernels.triton_correlation import (
    _CHOSEN,
    fastest,
    triton_correlation,
)

torch.manual_seed(0)
for batch, channels, height, width, window in (
    (1, 70, 5, 18, 5),
    (2, 33, 3, 5, 3),
):
    shape = batch, channels, height, width
    source, target = torch.randn(2, *shape) / channels**0.5
    expected = local_correlation_reference(source, target, window)
    last = target.contiguous(memory_format=torch.channels_last)
    for given in (target, last):
        found = triton_correlation(source, given, window)
        assert (found - expected).abs().max() < 1e-5, shape
    # The interpreter cannot multiply bfloat16.
    half = triton_correlation(source.half(), target.half(), window)
    assert half.dtype == torch.float16
    assert (half.float() - expected).abs().max() < 3e-3, shape

calls = []


def seconds(work):
    calls.append(work())
    return [2.0, 1.0, 1.0, 2.0][len(calls) - 1]


pair = source, target
for size, winner in ((1, banded_correlation), (3, triton_correlation)):
    for _ in range(2):
        way = fastest(*pair, size, banded_correlation, seconds=seconds)
        assert way is winner
assert len(calls) == 4
assert (calls[0] - calls[1]).abs().max() < 1e-5


def broken(work):
    calls.append(work)
    if len(calls) == 5:
        raise ValueError('no such architecture')
    return 1.0


pair = source.double(), target.double()
way = fastest(*pair, 3, banded_correlation, seconds=broken)
assert way is banded_correlation
assert len(calls) == 6
"""


@pytest.mark.slow
def test_triton_kernel_by_its_interpreter() -> None:
    pytest.importorskip('triton', reason='needs Triton')
    done = subprocess.run(
        [sys.executable, '-c', _INTERPRETED],
        env={**os.environ, 'TRITON_INTERPRET': '1'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
