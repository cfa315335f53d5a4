"""Directions to match in: found on photographs, written into a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data, transform

from napari_samnet import match
from napari_samnet.errors import InputError
from napari_samnet.runtime.weights import get_weights, read_model
from napari_samnet.training.projection import (
    find_projection,
    with_projection,
)

SIZE = 64


@pytest.fixture(scope='module')
def photographs() -> list[np.ndarray]:
    return [
        transform.resize(image, (SIZE, SIZE), anti_aliasing=True).astype(
            np.float32
        )
        for image in (data.astronaut(), data.coffee(), data.rocket())
    ]


class TestFinding:
    @pytest.mark.slow
    def test_directions_are_orthonormal_and_keep_most(
        self, photographs: list[np.ndarray]
    ) -> None:
        model = read_model(get_weights('samnet').path)
        few, less = find_projection(model.features, photographs, 4)
        many, more = find_projection(model.features, photographs, 32)
        torch.testing.assert_close(
            many.T @ many, torch.eye(32), atol=1e-5, rtol=0
        )
        # The first ones are the principal ones, up to their sign.
        same = (many[:, :4] * few).sum(0).abs()
        torch.testing.assert_close(same, torch.ones(4))
        assert 0.1 < less < more < 1

    @pytest.mark.slow
    def test_no_other_directions_keep_more(
        self, photographs: list[np.ndarray]
    ) -> None:
        model = read_model(get_weights('samnet').path)
        found, kept = find_projection(model.features, photographs, 8)
        batch = torch.from_numpy(np.stack(photographs)).permute(0, 3, 1, 2)
        whole = model.features.match_only(batch, project=False)
        apart = (
            whole[:, :, 2:] - whole[:, :, :-2],
            whole[..., 2:] - whole[..., :-2],
        )
        rows = torch.cat([each.flatten(2).mT.flatten(0, 1) for each in apart])

        def share(directions: torch.Tensor) -> float:
            along = (rows @ directions).square().sum()
            return float(along / rows.square().sum())

        assert share(found) == pytest.approx(kept, abs=1e-4)
        for _ in range(5):
            change = 0.02 * torch.randn_like(found)
            change[:, 0] = 0  # the mean, which is kept in any case
            other = torch.linalg.qr(found + change)[0]
            assert share(other) < share(found)

    def test_the_mean_is_kept(self, photographs: list[np.ndarray]) -> None:
        model = read_model(get_weights('samnet').path)
        found, _ = find_projection(model.features, photographs, 2)
        batch = torch.from_numpy(np.stack(photographs)).permute(0, 3, 1, 2)
        mean = model.features.match_only(batch, project=False).mean((0, 2, 3))
        along = found.T @ mean
        torch.testing.assert_close(along.norm(), mean.norm())

    @pytest.mark.parametrize('channels', [0, 1329])
    def test_impossible_numbers(
        self, photographs: list[np.ndarray], channels: int
    ) -> None:
        model = read_model(get_weights('samnet').path)
        with pytest.raises(InputError, match=f'from 1 to 1328.* {channels}'):
            find_projection(model.features, photographs, channels)

    def test_no_images(self) -> None:
        model = read_model(get_weights('samnet').path)
        with pytest.raises(InputError, match='at least one image, got none'):
            find_projection(model.features, [], 2)


class TestNetworks:
    def test_the_packaged_one_has_all_that_the_fast_ways_need(self) -> None:
        model = read_model(get_weights('samnet').path)
        found = model.features.projection
        assert found is not None
        assert found.shape == (1328, 384)
        # Taught, and still close to the orthonormal directions it began as.
        lengths = found.norm(dim=0)
        assert 0.5 < float(lengths.min()) < float(lengths.max()) < 2

    @pytest.mark.slow
    def test_it_is_matched_in_unless_relu4_1_is_carried_on(
        self, photographs: list[np.ndarray], tmp_path: Path
    ) -> None:
        from napari_samnet.runtime.weights import save_model

        model = read_model(get_weights('samnet').path)
        other = tmp_path / 'other.safetensors'
        wrong = torch.linalg.qr(torch.randn(1328, 16))[0]
        save_model(with_projection(model, wrong), other)

        def flows(**options: object) -> list[np.ndarray]:
            return [
                match(
                    *photographs[:2],
                    weights=weights,
                    size=SIZE,
                    window=5,
                    iterations=2,
                    device='cpu',
                    precision='fp32',
                    **options,
                ).flow
                for weights in ('samnet', other)
            ]

        np.testing.assert_array_equal(*flows(feedback='continue'))
        # After the others: what they left in the cache is not taken.
        for options in ({'feedback': 'image'}, {'reference': True}, {}):
            one, two = flows(**options)
            assert np.abs(one - two).max() > 0.1
