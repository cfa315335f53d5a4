"""The fit whose window follows the object, against cells one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from napari_samnet.samnet import bilateral
from napari_samnet.samnet import bilateral_window as bilateral_window_module
from napari_samnet.samnet.bilateral import bilateral_fit, neighbor_weight
from napari_samnet.samnet.bilateral_window import bilateral_window
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import flow_of, grid, identity_field, step_of

Smooth = Callable[[Tensor], Tensor]


def random_case(height: int = 7, width: int = 9) -> tuple[Tensor, ...]:
    """Features, matches, confidence, field and start of a batch of two."""
    shape = (2, -1, height, width)
    return (
        normalize(torch.randn(2, 8, height, width) + 1),
        torch.randn(2, 2, height, width),
        torch.rand(2, 1, height, width),
        0.2 * torch.randn(2, 6, height, width),
        0.1 * torch.randn(2, 6, 1, 1).expand(shape).contiguous(),
    )


def object_on_background() -> tuple[Tensor, Tensor, Tensor]:
    """Features and motion: a small patch moves, its surroundings do not."""
    inside = torch.zeros(1, 1, 20, 20)
    inside[..., 8:12, 7:11] = 1
    features = torch.cat((inside, 1 - inside, torch.zeros(1, 2, 20, 20)), 1)
    motion = torch.zeros(1, 2, 20, 20)
    motion[:, 0] = 5 * inside[:, 0]
    return features, motion, inside


def bilateral_fit_reference(
    features: Tensor,
    matches: Tensor,
    confidence: Tensor,
    field: Tensor,
    start: Tensor,
    *,
    sigma: float,
    alikeness: float,
    residual_cells: float = bilateral.RESIDUAL_CELLS,
    damping: float = bilateral.DAMPING,
) -> Tensor:
    """Compute :func:`bilateral_fit` literally, cell by cell.

    Parameters
    ----------
    features : Tensor
        As for :func:`bilateral_window`; maps of at most ``NEIGHBOR_CELLS`` a
        side.
    matches, confidence, field, start
        The same as for :func:`bilateral_fit`.
    sigma, alikeness
        The same as for :func:`bilateral_window`.
    residual_cells, damping
        The same as for :func:`bilateral_fit`.

    Returns
    -------
    Tensor
        Field ``(B, 6, H, W)``.
    """
    batch, _, height, width = matches.shape
    cells = grid(height, width, matches).flatten(1).T.double()
    fitted = torch.empty_like(start)
    pull = torch.diag(
        cells.new_tensor((damping, *2 * [2 * damping * sigma**2]))
    )
    for image in range(batch):
        of = features[image].flatten(1).double()
        maps = step_of(field)[image].flatten(2).permute(2, 0, 1).double()
        maps = maps + torch.eye(2, dtype=torch.float64)
        flow = flow_of(field)[image].flatten(1).T.double()
        ends = cells + matches[image].flatten(1).T
        sure = confidence[image].flatten().double().clamp_min(1e-6)
        prior = start[image].flatten(1).T.double()
        for i in range(height * width):
            offset = cells - cells[i]
            residual = ends - cells[i] - flow[i] - offset @ maps[i].T
            weight = sure * torch.exp(
                -offset.square().sum(1) / (2 * sigma**2)
                + (of[:, i] @ of - 1) / alikeness
                - residual.square().sum(1) / (2 * residual_cells**2)
            )
            unknowns = torch.cat((torch.ones_like(offset[:, :1]), offset), 1)
            known = torch.stack(
                (
                    cells[i] + prior[i, 4:],
                    prior[i, [0, 2]] + prior.new_tensor((1.0, 0.0)),
                    prior[i, [1, 3]] + prior.new_tensor((0.0, 1.0)),
                )
            )
            normal = unknowns.T @ (weight[:, None] * unknowns) + pull
            right = unknowns.T @ (weight[:, None] * ends) + pull @ known
            solved = torch.linalg.solve(normal, right)
            linear = solved[1:].T - torch.eye(2, dtype=torch.float64)
            row, column = divmod(i, width)
            fitted[image, :4, row, column] = linear.flatten()
            fitted[image, 4:, row, column] = solved[0] - cells[i]
    return fitted


@pytest.mark.parametrize('sigma', [1.5, 4.0])
@pytest.mark.parametrize('alikeness', [0.1, 0.3, 2.0])
def test_is_the_weighted_least_squares_of_the_text(
    sigma: float, alikeness: float
) -> None:
    features, *rest = random_case()
    window = bilateral_window(features, sigma=sigma, alikeness=alikeness)
    expected = bilateral_fit_reference(
        features, *rest, sigma=sigma, alikeness=alikeness
    )
    torch.testing.assert_close(
        bilateral_fit(window, *rest).field, expected, atol=1e-4, rtol=0
    )


def test_strips_change_next_to_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, *rest = random_case(30, 9)
    whole = bilateral_window(features, sigma=2.0, alikeness=0.3)
    expected = bilateral_fit(whole, *rest).field
    monkeypatch.setattr(bilateral_window_module, 'STRIP_CELLS', 36)
    strips = bilateral_window(features, sigma=2.0, alikeness=0.3)
    assert len(strips.strips) > 3
    assert strips.strips[4].numel() < whole.strips[0].numel() / 7
    torch.testing.assert_close(
        bilateral_fit(strips, *rest).field, expected, atol=0.02, rtol=0
    )


def test_large_maps_are_fitted_to_blocks_of_cells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bilateral_window_module, 'NEIGHBOR_CELLS', 12)
    features = normalize(torch.ones(1, 4, 21, 24))
    motion = torch.empty(1, 2, 21, 24)
    motion[:, 0], motion[:, 1] = 1.5, -0.5
    start = identity_field(1, 21, 24, motion)
    window = bilateral_window(features, sigma=3.0, alikeness=0.3)
    assert window.pooling == 2
    assert sum(strip.shape[2] for strip in window.strips) <= 11 * 12
    one = torch.ones_like(motion[:, :1])
    field = bilateral_fit(window, motion, one, start, start).field
    torch.testing.assert_close(field[:, 4:], motion, atol=0.02, rtol=0)


def test_an_object_keeps_its_motion() -> None:
    features, motion, inside = object_on_background()
    start = identity_field(1, 20, 20, motion)
    one = torch.ones_like(motion[:, :1])
    fits = {}
    for alikeness in (0.1, 1e6):
        window = bilateral_window(features, sigma=4.0, alikeness=alikeness)
        field = start
        for _ in range(5):
            field = bilateral_fit(window, motion, one, field, start).field
        fits[alikeness] = (field[:, 4:] - motion).norm(dim=1, keepdim=True)
    # In a round window the still surroundings win.
    assert fits[0.1][inside > 0].max() < 0.5
    assert fits[1e6][inside > 0].mean() > 2
    assert fits[0.1][inside == 0].max() < 0.5


def test_without_evidence_the_start_is_kept() -> None:
    features, motion, _, field, start = random_case()
    window = bilateral_window(features, sigma=4.0, alikeness=0.3)
    nothing = torch.zeros_like(motion[:, :1])
    torch.testing.assert_close(
        bilateral_fit(window, motion, nothing, field, start).field,
        start,
        atol=0.01,
        rtol=0,
    )


def test_weight_tells_how_many_agree() -> None:
    features, motion, inside = object_on_background()
    one = torch.ones_like(motion[:, :1])
    window = bilateral_window(features, sigma=4.0, alikeness=0.1)
    start = identity_field(1, 20, 20, motion)
    fit = bilateral_fit(window, motion, one, start, start)
    share = fit.weight / neighbor_weight(window, one)
    assert share[inside == 0].min() > 0.95
    assert share[inside > 0].max() < 0.2


@pytest.mark.slow
def test_gradient() -> None:
    features, *rest = (part.double() for part in random_case(4, 5))
    window = bilateral_window(features, sigma=2.0, alikeness=0.3)
    strips = tuple(strip.double() for strip in window.strips)
    window = window._replace(strips=strips)
    motion, confidence, field, start = rest

    def fit(motion: Tensor, confidence: Tensor, start: Tensor) -> Tensor:
        # Where the residuals are measured from does not move.
        return bilateral_fit(
            window, motion, confidence, field, start, residual_cells=1e6
        ).field

    given = (motion, confidence + 0.1, start)
    assert torch.autograd.gradcheck(
        fit, [part.requires_grad_() for part in given], atol=1e-4
    )
