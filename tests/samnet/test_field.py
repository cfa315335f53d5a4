"""The field T = [A | f] and sampling with it, on motions that are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from napari_samnet.samnet.field import (
    affine_field,
    flow_of,
    grid,
    identity_field,
    resize_field,
    sample,
    sample_reference,
    step_of,
    warp,
)

HEIGHT, WIDTH = 9, 13


def rotation(degrees: float) -> list[list[float]]:
    angle = math.radians(degrees)
    return [
        [math.cos(angle), -math.sin(angle)],
        [math.sin(angle), math.cos(angle)],
    ]


def about_the_middle(
    linear: list[list[float]], height: int = HEIGHT, width: int = WIDTH
) -> Tensor:
    """An affine map that leaves the middle of the map where it is."""
    matrix = torch.tensor(linear)
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    return torch.cat((matrix, (middle - matrix @ middle)[:, None]), 1)[None]


MOTIONS = {
    'identity': about_the_middle([[1.0, 0.0], [0.0, 1.0]]),
    'translation': torch.tensor([[[1.0, 0.0, 1.3], [0.0, 1.0, -0.6]]]),
    'rotation': about_the_middle(rotation(12)),
    'scale': about_the_middle([[1.15, 0.0], [0.0, 0.85]]),
    'shear': about_the_middle([[1.0, 0.2], [-0.1, 1.0]]),
}


def literal_sample(features: Tensor, positions: Tensor) -> Tensor:
    """Bilinear interpolation, cell by cell; nothing outside."""
    batch, channels, height, width = features.shape
    rows, columns = positions.shape[-2:]
    out = features.new_zeros(batch, channels, rows, columns)
    for b in range(batch):
        for r in range(rows):
            for c in range(columns):
                x, y = positions[b, :, r, c].tolist()
                for row in (math.floor(y), math.floor(y) + 1):
                    for column in (math.floor(x), math.floor(x) + 1):
                        share = (1 - abs(x - column)) * (1 - abs(y - row))
                        if 0 <= row < height and 0 <= column < width:
                            here = features[b, :, row, column]
                            out[b, :, r, c] += share * here
    return out


class TestField:
    def test_no_motion_is_zero(self) -> None:
        like = torch.zeros(1, 1, 1, 1)
        field = identity_field(2, HEIGHT, WIDTH, like)
        assert field.shape == (2, 6, HEIGHT, WIDTH)
        assert field.eq(0).all()
        assert affine_field(MOTIONS['identity'], HEIGHT, WIDTH).eq(0).all()

    @pytest.mark.parametrize('name', MOTIONS)
    def test_holds_an_affine_map(self, name: str) -> None:
        matrix = MOTIONS[name]
        field = affine_field(matrix, HEIGHT, WIDTH)
        for x, y in ((0, 0), (12, 0), (5, 8)):
            there = matrix[0] @ torch.tensor([x, y, 1.0])
            flow = flow_of(field)[0, :, y, x]
            torch.testing.assert_close(flow + torch.tensor([x, y]), there)
            step = step_of(field)[0, :, :, y, x]
            torch.testing.assert_close(
                step, matrix[0, :, :2] - torch.eye(2), atol=1e-6, rtol=0
            )

    def test_components_are_x_then_y(self) -> None:
        field = affine_field(
            torch.tensor([[[1.0, 0.25, 2.0], [0.0, 1.0, -3.0]]]), 4, 6
        )
        assert field[0, :, 0, 0].tolist() == [0, 0.25, 0, 0, 2, -3]
        # x' depends on y through a12.
        assert field[0, 4, :, 0].tolist() == [2, 2.25, 2.5, 2.75]

    def test_steps_add_up(self) -> None:
        """(7) is a sum, exact for translations."""
        parts = torch.tensor([[1.0, 2.0], [-0.5, 0.25]])
        total = identity_field(1, 4, 6, parts)
        for part in parts:
            matrix = torch.cat((torch.eye(2), part[:, None]), 1)[None]
            total = total + affine_field(matrix, 4, 6)
        flow = parts.sum(0).view(1, 2, 1, 1).expand(1, 2, 4, 6)
        torch.testing.assert_close(flow_of(total), flow)
        assert step_of(total).eq(0).all()


class TestResize:
    def test_flow_scales_with_the_grid_and_the_linear_part_does_not(
        self,
    ) -> None:
        field = torch.ones(1, 6, 4, 6) * 0.25
        large = resize_field(field, 8, 18)
        assert large.shape == (1, 6, 8, 18)
        assert large[:, :4].eq(0.25).all()
        torch.testing.assert_close(
            large[0, 4:, 3, 5], torch.tensor([0.75, 0.5])
        )

    @pytest.mark.parametrize('name', MOTIONS)
    @pytest.mark.parametrize('factor', [2, 3])
    def test_same_motion_on_a_finer_grid(self, name: str, factor: int) -> None:
        """Cell centers are at (k + 0.5) / n of the side, on every grid."""
        coarse = MOTIONS[name]
        # u = (x + 0.5) / n on both grids, and F is linear in u.
        linear = coarse[0, :, :2]
        shift = linear @ torch.full((2,), -0.5) + coarse[0, :, 2] + 0.5
        shift = factor * shift + linear @ torch.full((2,), 0.5) - 0.5
        fine = torch.cat((linear, shift[:, None]), 1)[None]
        found = resize_field(
            affine_field(coarse, HEIGHT, WIDTH),
            factor * HEIGHT,
            factor * WIDTH,
        )
        expected = affine_field(fine, factor * HEIGHT, factor * WIDTH)
        rim = factor
        torch.testing.assert_close(
            found[..., rim:-rim, rim:-rim],
            expected[..., rim:-rim, rim:-rim],
            atol=1e-4,
            rtol=0,
        )

    def test_same_size_is_the_same(self) -> None:
        field = torch.randn(1, 6, 4, 6)
        assert resize_field(field, 4, 6) is field


class TestSample:
    @pytest.fixture
    def positions(self) -> Tensor:
        """Inside, outside, on and between cells."""
        spread = torch.rand(2, 2, 3, 5, dtype=torch.double)
        positions = spread * torch.tensor([11.0, 9.0]).view(1, 2, 1, 1) - 2
        positions[0, :, 0, 0] = torch.tensor([6.0, 4.0])
        positions[0, :, 0, 1] = torch.tensor([-0.5, 4.5])
        positions[0, :, 0, 2] = torch.tensor([-1.0, 2.0])
        return positions

    @pytest.mark.parametrize('function', [sample, sample_reference])
    def test_is_bilinear_and_zero_outside(
        self, function: Callable[..., Tensor], positions: Tensor
    ) -> None:
        features = torch.randn(2, 3, 5, 7, dtype=torch.double)
        torch.testing.assert_close(
            function(features, positions),
            literal_sample(features, positions),
            rtol=0,
            atol=1e-12,
        )

    def test_gradient(self, positions: Tensor) -> None:
        # The slope jumps at cell centers.
        positions = positions.floor() + 0.1 + 0.8 * torch.rand_like(positions)
        features = torch.randn(2, 3, 5, 7, dtype=torch.double)
        assert torch.autograd.gradcheck(
            sample, (features.requires_grad_(), positions.requires_grad_())
        )

    def test_far_away_positions_are_outside(self) -> None:
        positions = torch.tensor([1e9, -1e9, 3.0, 1e30])[None, None]
        positions = positions.expand(1, 2, 1, 4).contiguous()
        found = sample(torch.ones(1, 1, 5, 7), positions)
        assert found.flatten().tolist() == [0, 0, 1, 0]

    def test_half_precision_stays(self) -> None:
        features = torch.randn(1, 3, 5, 7)
        positions = grid(5, 7, features)[None] + 0.25
        found = sample(features.bfloat16(), positions)
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(
            found.float(), sample(features, positions), atol=0.05, rtol=0
        )


class TestWarp:
    def test_no_motion_changes_nothing(self) -> None:
        features = torch.randn(2, 3, HEIGHT, WIDTH)
        field = identity_field(2, HEIGHT, WIDTH, features)
        assert torch.equal(warp(features, field), features)
        assert torch.equal(warp(features, flow_of(field)), features)

    def test_samples_where_the_flow_points(self) -> None:
        """Backward: cell i shows what lies at i + f_i, two to the right."""
        features = torch.randn(1, 3, HEIGHT, WIDTH)
        flow = torch.zeros(1, 2, HEIGHT, WIDTH)
        flow[:, 0], flow[:, 1] = 2, -1
        warped = warp(features, flow)
        assert torch.equal(warped[..., 1:, :-2], features[..., :-1, 2:])
        assert warped[..., 0, :].eq(0).all()
        assert warped[..., -2:].eq(0).all()

    @pytest.mark.parametrize('name', MOTIONS)
    def test_undoes_a_known_motion(
        self, name: str, smooth: Callable[[Tensor], Tensor]
    ) -> None:
        matrix = MOTIONS[name]
        field = affine_field(matrix, HEIGHT, WIDTH)
        points = grid(HEIGHT, WIDTH, field)
        there = points + flow_of(field)
        warped = warp(smooth(points[None]), field)
        warped = warped / warped.norm(dim=1, keepdim=True).clamp_min(1e-6)
        likeness = (warped * smooth(there)).sum(1)
        size = torch.tensor([WIDTH - 1, HEIGHT - 1]).view(1, 2, 1, 1)
        inside = ((there >= 0) & (there <= size)).all(1)
        assert inside.float().mean() > 0.5
        assert likeness[inside].min() > 0.97

    def test_images_of_a_batch_do_not_mix(self) -> None:
        features = torch.randn(3, 2, 5, 7)
        flow = torch.randn(3, 2, 5, 7)
        together = warp(features, flow)
        for index in range(3):
            one = slice(index, index + 1)
            torch.testing.assert_close(
                together[one], warp(features[one], flow[one])
            )
