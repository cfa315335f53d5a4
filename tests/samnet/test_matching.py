"""W_G: what its parts find on features whose motion is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from napari_samnet.samnet.cell_matches import GLOBAL_CELLS
from napari_samnet.samnet.correlation import (
    center_index,
    local_correlation,
    window_offsets,
)
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import (
    affine_field,
    flow_of,
    grid,
    identity_field,
    step_of,
    warp,
)
from napari_samnet.samnet.global_affine import global_affine
from napari_samnet.samnet.least_squares import (
    AnalyticMatching,
    peak_of,
)
from napari_samnet.samnet.matching import (
    EncoderDecoder,
    ResidualMatching,
    RTNMatching,
    limit_step,
    resize_window,
    step_size,
)

Smooth = Callable[[Tensor], Tensor]

#: Odd and oblong.
HEIGHT, WIDTH = 19, 23


def about_the_middle(
    *,
    degrees: float = 0.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> Tensor:
    """A similarity about the middle of the map, then a shift; (x, y)."""
    angle = math.radians(degrees)
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    matrix = torch.tensor([[cosine, -sine], [sine, cosine]])
    middle = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2])
    offset = middle - matrix @ middle + torch.tensor(shift)
    return torch.cat((matrix, offset[:, None]), 1)[None]


def pair(smooth: Smooth, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Source and target features that the field `truth` relates."""
    points = grid(*truth.shape[-2:], truth)[None]
    return smooth(points + flow_of(truth)), smooth(points)


def stays_inside(truth: Tensor) -> Tensor:
    """Which cells have their match in the image, ``(H, W)``."""
    height, width = truth.shape[-2:]
    there = grid(height, width, truth) + flow_of(truth)[0]
    size = torch.tensor([width - 1, height - 1]).view(2, 1, 1)
    return ((there >= 0) & (there <= size)).all(0)


def recur(
    matcher: Callable[[Tensor, Tensor, Tensor, int], Tensor],
    smooth: Smooth,
    truth: Tensor,
    *,
    iterations: int = 4,
    window: int = 9,
) -> Tensor:
    """Iterate a matcher from no motion."""
    source, target = pair(smooth, truth)
    start = identity_field(1, *truth.shape[-2:], like=truth)
    field = start
    for index in range(iterations):
        warped = normalize(warp(target, field))
        volume = local_correlation(source, warped, window)
        field = field + matcher(volume, field, start, index)
    return field


def analytic(
    volume: Tensor, field: Tensor, start: Tensor, index: int
) -> Tensor:
    return AnalyticMatching()(peak_of(volume), field, start, index)


class TestPeak:
    @pytest.mark.parametrize('shift', [(0.0, 0.0), (3.0, -2.0), (-4.0, 4.0)])
    def test_whole_displacements(
        self, smooth: Smooth, shift: tuple[float, float]
    ) -> None:
        truth = affine_field(about_the_middle(shift=shift), HEIGHT, WIDTH)
        peak = peak_of(local_correlation(*pair(smooth, truth), 9))
        inside = stays_inside(truth)
        error = (peak.residual - flow_of(truth))[0, :, inside]
        assert error.norm(dim=0).median() < 0.1
        assert peak.margin[0, 0, inside].median() > 0.2

    def test_parts_of_a_cell(self, smooth: Smooth) -> None:
        truth = affine_field(
            about_the_middle(shift=(1.4, -2.3)), HEIGHT, WIDTH
        )
        peak = peak_of(local_correlation(*pair(smooth, truth), 9))
        error = (peak.residual - flow_of(truth))[0, :, stays_inside(truth)]
        # Nearer than the nearest whole displacement, (1, -2).
        assert error.norm(dim=0).median() < 0.45

    def test_without_contrast_nothing_is_sure(self) -> None:
        peak = peak_of(torch.full((1, 81, 9, 11), 0.5))
        assert peak.margin.eq(0).all()
        assert peak.residual.isfinite().all()

    def test_does_not_point_outside(self, smooth: Smooth) -> None:
        """At the rim, displacements that leave the image are no option."""
        volume = torch.full((1, 25, 7, 9), -0.5)
        peak = peak_of(volume)
        there = grid(7, 9, volume) + peak.residual[0]
        assert there.min() > -0.5
        assert there[0].max() < 8.5
        assert there[1].max() < 6.5


class TestAnalytic:
    @pytest.mark.parametrize(
        'motion',
        [
            {'shift': (2.0, -3.0)},
            {'shift': (-1.0, 0.5)},
            {'degrees': 12.0},
            {'degrees': -8.0, 'shift': (1.5, 1.0)},
            {'scale': 1.15},
            {'scale': 0.88, 'degrees': 5.0},
        ],
        ids=str,
    )
    def test_finds_a_known_motion(
        self, smooth: Smooth, motion: dict[str, float]
    ) -> None:
        truth = affine_field(about_the_middle(**motion), HEIGHT, WIDTH)
        found = recur(analytic, smooth, truth)
        inside = stays_inside(truth)
        error = (flow_of(found) - flow_of(truth))[0, :, inside]
        none = flow_of(truth)[0, :, inside].norm(dim=0)
        assert error.norm(dim=0).median() < 0.5
        assert error.norm(dim=0).mean() < 0.45 * none.mean()
        linear = (step_of(found) - step_of(truth))[0, :, :, inside]
        assert linear.abs().median() < 0.05
        if 'shift' not in motion:
            # No side is favored, as by half a cell in the wrong place.
            assert error.mean(1).abs().max() < 0.05

    def test_window_and_motion_may_be_small_or_large(
        self, smooth: Smooth
    ) -> None:
        for window, reach in ((3, 0.8), (5, 1.8), (15, 6.5)):
            shift = (reach, -reach)
            truth = affine_field(about_the_middle(shift=shift), HEIGHT, WIDTH)
            found = recur(analytic, smooth, truth, iterations=3, window=window)
            error = (flow_of(found) - flow_of(truth))[0]
            inside = stays_inside(truth)
            assert error[:, inside].norm(dim=0).median() < 0.15 * reach + 0.4

    def test_no_motion_is_found_as_none(self, smooth: Smooth) -> None:
        truth = identity_field(1, HEIGHT, WIDTH, torch.zeros(()))
        found = recur(analytic, smooth, truth, iterations=3)
        assert flow_of(found).abs().max() < 0.02

    def test_without_evidence_the_start_is_kept(self) -> None:
        start = affine_field(about_the_middle(degrees=20.0), HEIGHT, WIDTH)
        field = start + 0.5
        flat = torch.zeros(1, 81, HEIGHT, WIDTH)
        residual = analytic(flat, field, start, 0)
        torch.testing.assert_close(field + residual, start)

    def test_neighbors_fill_what_cannot_be_matched(
        self, smooth: Smooth
    ) -> None:
        truth = affine_field(about_the_middle(shift=(2.0, 1.0)), 19, 23)
        source, target = pair(smooth, truth)
        source[..., 8:11, 10:13] = 0
        volume = local_correlation(source, target, 9)
        start = identity_field(1, 19, 23, volume)
        found = start + analytic(volume, start, start, 0)
        error = flow_of(found)[0, :, 9, 11] - flow_of(truth)[0, :, 9, 11]
        assert error.norm() < 0.3

    def test_gradient(self, smooth: Smooth) -> None:
        """Along a direction, as the matching works in single precision."""
        truth = affine_field(about_the_middle(shift=(0.7, -0.4)), 7, 9)
        volume = local_correlation(*pair(smooth, truth), 5)
        start = identity_field(1, 7, 9, volume)
        weight = torch.randn(1, 6, 7, 9)

        def total(at: Tensor) -> Tensor:
            return (weight[:, 4:] * peak_of(at).residual).sum()

        at = volume.clone().requires_grad_()
        total(at).backward()
        assert at.grad is not None
        step = 1e-3 * torch.randn_like(volume)
        torch.testing.assert_close(
            2 * (at.grad * step).sum(),
            total(volume + step) - total(volume - step),
            rtol=0.02,
            atol=1e-4,
        )
        at = volume.clone().requires_grad_()
        (analytic(at, start, start, 0) * weight).sum().backward()
        assert at.grad is not None
        assert at.grad.isfinite().all()
        assert at.grad.ne(0).any()


class TestGlobal:
    @pytest.mark.parametrize(
        'motion',
        [
            {'shift': (9.0, -7.0)},
            {'shift': (-5.5, 3.25)},
            {'degrees': 25.0},
            {'scale': 0.75},
            {'scale': 1.25, 'degrees': -15.0, 'shift': (2.0, 3.0)},
        ],
        ids=str,
    )
    def test_finds_a_known_affine_map(
        self, smooth: Smooth, motion: dict[str, float]
    ) -> None:
        truth = affine_field(about_the_middle(**motion), HEIGHT, WIDTH)
        found = global_affine(*pair(smooth, truth))
        error = (flow_of(found) - flow_of(truth))[0, :, stays_inside(truth)]
        none = flow_of(truth)[0].norm(dim=0).mean()
        assert error.norm(dim=0).mean() < min(0.6, 0.1 * none)
        linear = step_of(found) - step_of(truth)
        assert linear.abs().max() < 0.1

    def test_large_maps_are_compared_by_means(self, smooth: Smooth) -> None:
        height, width = 2 * GLOBAL_CELLS + 9, 3 * GLOBAL_CELLS
        motion = about_the_middle(
            degrees=10.0, shift=(11.0, -8.0), size=(height, width)
        )
        truth = affine_field(motion, height, width)
        # As fine a texture in the cells that are compared as elsewhere.
        source, target = (
            smooth(points * GLOBAL_CELLS / width)
            for points in (
                grid(height, width, truth)[None] + flow_of(truth),
                grid(height, width, truth)[None],
            )
        )
        found = global_affine(source, target)
        assert found.shape == truth.shape
        error = (flow_of(found) - flow_of(truth))[0, :, stays_inside(truth)]
        none = flow_of(truth)[0].norm(dim=0).mean()
        assert error.norm(dim=0).mean() < 0.1 * none

    def test_is_one_affine_map(self, smooth: Smooth) -> None:
        truth = affine_field(about_the_middle(degrees=10.0), HEIGHT, WIDTH)
        field = global_affine(*pair(smooth, truth))
        linear = step_of(field)[0, :, :, 0, 0]
        torch.testing.assert_close(
            step_of(field)[0],
            linear[..., None, None].expand(2, 2, HEIGHT, WIDTH),
        )
        flow = flow_of(field)[0]
        torch.testing.assert_close(
            flow[:, 0, 1] - flow[:, 0, 0], linear[:, 0], atol=1e-4, rtol=0
        )
        torch.testing.assert_close(
            flow[:, 1, 0] - flow[:, 0, 0], linear[:, 1], atol=1e-4, rtol=0
        )

    def test_images_alike_do_not_move(self, smooth: Smooth) -> None:
        truth = identity_field(1, HEIGHT, WIDTH, torch.zeros(()))
        found = global_affine(*pair(smooth, truth))
        assert flow_of(found).abs().max() < 0.05

    def test_a_third_of_wrong_matches_does_not_matter(
        self, smooth: Smooth
    ) -> None:
        truth = affine_field(
            about_the_middle(shift=(3.0, 2.0), degrees=8.0), HEIGHT, WIDTH
        )
        source, target = pair(smooth, truth)
        wrong = torch.rand(HEIGHT, WIDTH) < 0.33
        noise = normalize(torch.randn_like(source))
        source = torch.where(wrong, noise, source)
        error = flow_of(global_affine(source, target)) - flow_of(truth)
        assert error[0, :, stays_inside(truth)].norm(dim=0).mean() < 0.5

    @pytest.mark.parametrize('value', [0.0, 1.0])
    def test_without_contrast_it_is_still_a_map(self, value: float) -> None:
        flat = normalize(torch.full((2, 8, 7, 9), value))
        assert global_affine(flat, flat).isfinite().all()

    def test_images_of_a_batch_do_not_mix(self, smooth: Smooth) -> None:
        pairs = [
            pair(smooth, affine_field(about_the_middle(degrees=d), 9, 11))
            for d in (-10.0, 10.0)
        ]
        together = global_affine(
            *(torch.cat(side) for side in zip(*pairs, strict=True))
        )
        apart = torch.cat([global_affine(*one) for one in pairs])
        torch.testing.assert_close(together, apart, atol=1e-3, rtol=0)


class TestLearned:
    @pytest.mark.parametrize('size', [(8, 8), (7, 11), (1, 5), (33, 17)])
    def test_begins_with_nothing_at_any_size(
        self, size: tuple[int, int]
    ) -> None:
        network = EncoderDecoder(5, widths=(4, 6, 8))
        out = network(torch.randn(2, 5, *size))
        assert out.shape == (2, 6, *size)
        assert out.eq(0).all()

    def test_every_part_learns(self) -> None:
        network = EncoderDecoder(5, widths=(4, 6, 8), outer_kernel=5)
        nn.init.normal_(network.last.weight)
        network(torch.randn(1, 5, 9, 7)).square().sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.ne(0).any(), name

    def test_plan_of_the_recurrent_transformer_networks(self) -> None:
        with torch.device('meta'):
            matcher = RTNMatching()
        count = sum(part.numel() for part in matcher.parameters())
        assert round(count / 1e6, 2) == 20.03
        kernels = [
            (layer.in_channels, layer.out_channels, layer.kernel_size[0])
            for layer in matcher.modules()
            if isinstance(layer, nn.Conv2d)
        ]
        assert kernels[:2] == [(81, 64, 9), (64, 64, 3)]
        assert (1024, 512, 3) in kernels
        assert kernels[-1] == (64, 6, 9)

    def test_rtn_matching_begins_with_nothing(self) -> None:
        matcher = RTNMatching(window=9)
        field = torch.zeros(1, 6, 9, 11)
        with torch.no_grad():
            for window in (5, 9):
                volume = torch.rand(1, window**2, 9, 11)
                assert matcher(volume, field, field, 0).eq(0).all()

    @pytest.mark.parametrize('window', range(3, 22, 2))
    def test_untrained_it_is_the_analytic_one(self, window: int) -> None:
        matcher = ResidualMatching(window=9, width=2)
        volume = torch.rand(1, window**2, 21, 23)
        field = torch.randn(1, 6, 21, 23)
        start = torch.zeros_like(field)
        for index in (0, 5):
            found = matcher(volume, field, start, index)
            expected = analytic(volume, field, start, index)
            torch.testing.assert_close(found, step_size(index) * expected)

    def test_trained_it_adds_to_it(self) -> None:
        matcher = ResidualMatching(window=5, width=2)
        nn.init.constant_(matcher.network.last.bias, 0.25)
        volume = torch.rand(1, 25, 7, 9)
        field = torch.zeros(1, 6, 7, 9)
        added = matcher(volume, field, field, 0) - analytic(
            volume, field, field, 0
        )
        torch.testing.assert_close(added, torch.full_like(added, 0.25))

    def test_one_step_is_limited(self) -> None:
        limited = limit_step(torch.full((1, 6, 2, 2), -100.0))
        assert limited[:, :4].eq(-0.5).all()
        assert limited[:, 4:].eq(-4).all()
        small = torch.full((1, 6, 2, 2), 0.3)
        assert torch.equal(limit_step(small), small)

    def test_later_steps_are_shorter(self) -> None:
        sizes = [step_size(index) for index in range(20)]
        assert sizes[:3] == [1, 1, 1]
        assert sizes == sorted(sizes, reverse=True)
        assert 0 < sizes[-1] < 0.1


class TestWindow:
    @pytest.mark.parametrize('window', [3, 5, 9, 21])
    def test_keeps_displacements(self, window: int) -> None:
        """Each channel stays with its displacement; new ones are zero."""
        offsets = window_offsets(window, torch.zeros(()))
        coded = (offsets[:, 0] + 100 * offsets[:, 1]).view(1, -1, 1, 1)
        found = resize_window(coded.expand(1, -1, 2, 3), 9)
        assert found.shape == (1, 81, 2, 3)
        wanted = window_offsets(9, coded)
        expected = wanted[:, 0] + 100 * wanted[:, 1]
        expected[wanted.abs().amax(1) > window // 2] = 0
        torch.testing.assert_close(found[0, :, 1, 2], expected)

    def test_center_stays(self) -> None:
        volume = torch.zeros(1, 25, 2, 2)
        volume[:, center_index(5)] = 1
        assert resize_window(volume, 9)[:, center_index(9)].eq(1).all()
        assert resize_window(volume, 3)[:, center_index(3)].eq(1).all()
