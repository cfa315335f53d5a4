"""Both directions on two cores, against one after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import napari_samnet
from napari_samnet.datasets.samples import load_sample
from napari_samnet.runtime.feature_cache import FEATURES


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ('name', 'labels'), [('elephant', False), ('coffee', True)]
)
def test_two_cores_find_what_one_finds(monkeypatch, threads, name, labels):
    sample = load_sample(name)
    found = []
    for count in (1, 2):
        threads(count)
        monkeypatch.setattr(
            'napari_samnet.runtime.side_by_side.cores', lambda c=count: c
        )
        FEATURES.clear()
        found.append(
            napari_samnet.match(
                sample.source,
                sample.target,
                size=128,
                labels=sample.labels if labels else None,
            )
        )
    one, two = found
    for part in ('forward', 'backward', 'forward_cell_confidence'):
        apart = np.abs(getattr(one, part) - getattr(two, part))
        assert np.quantile(apart, 0.99) < 1e-3
    for fact in ('iterations_used', 'changes', 'orientation'):
        first, second = one.metadata[fact], two.metadata[fact]
        assert first == second or np.allclose(first, second, atol=1e-3)
    same = one.evidence.index[..., 0] == two.evidence.index[..., 0]
    assert same.mean() > 0.99
    if labels:
        differ = np.asarray(one.warped_labels) != two.warped_labels
        assert differ.mean() < 1e-3
