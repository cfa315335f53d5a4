"""Cosines in whole numbers are those of the features, nearly."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from napari_samnet.samnet.whole_numbers import WholeFeatures


def test_products_are_near_those_of_the_features() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (
        F.normalize(torch.randn(n, 1328, generator=generator).relu(), dim=1)
        for n in (37, 210)
    )
    found = WholeFeatures.of(one).products(WholeFeatures.of(other))
    torch.testing.assert_close(found, one @ other.T, atol=3e-3, rtol=0)


def test_cells_without_features_are_like_none() -> None:
    features = torch.eye(4, 16)
    features[2] = 0
    whole = WholeFeatures.of(features)
    found = whole.some(slice(1, 3)).products(whole)
    assert found.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
