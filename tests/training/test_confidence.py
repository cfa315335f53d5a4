"""The confidence: fitted so that it says how often a match is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data, io

from napari_samnet import match
from napari_samnet.datasets.image_lists import read_images
from napari_samnet.errors import InputError, WeightsError
from napari_samnet.runtime.confidence import (
    confidence_path,
    find_confidence,
    save_confidence,
)
from napari_samnet.runtime.weights import Weights, get_weights, read_model
from napari_samnet.samnet.confidence import MatchConfidence
from napari_samnet.samnet.confidence_measures import MEASURES
from napari_samnet.samnet.config import SAMNetConfig
from napari_samnet.training.annotated import AnnotatedImage
from napari_samnet.training.confidence import (
    Matches,
    collect_matches,
    fit_confidence,
    judge_left_out,
)
from napari_samnet.training.known_pairs import KINDS, known_pairs

CONFIG = SAMNetConfig(projection=384)


def made_up(count: int = 4000) -> Matches:
    generator = torch.Generator().manual_seed(0)
    measures = torch.randn(count, len(MEASURES), generator=generator)
    measures[:, 1] = 5 + 3 * measures[:, 1]
    chance = torch.sigmoid(2 * measures[:, 0] - 0.5 * (measures[:, 1] - 5))
    right = (torch.rand(count, generator=generator) < chance).float()
    kinds = np.array(['a'] * count)
    groups = np.array(['one', 'two', 'three', 'four'] * (count // 4))
    return Matches(
        measures, right, torch.ones(count), kinds, groups, np.arange(count)
    )


@pytest.mark.slow
def test_what_is_fitted_is_calibrated_on_groups_that_were_left_out() -> None:
    judged = judge_left_out(made_up(), steps=120)['a']
    assert judged['points'] == 4000
    assert judged['ece'] < 0.1
    assert judged['auroc'] > 0.85
    assert judged['right_above_0.8'] > 0.8


def test_matches_that_are_all_alike_are_refused() -> None:
    matches = made_up(20)
    with pytest.raises(InputError, match='right and wrong'):
        fit_confidence(matches._replace(right=torch.ones(20)))


def test_a_file_beside_the_weights_says_what_it_is_for(tmp_path: Path) -> None:
    weights = Weights('mine', tmp_path / 'mine.safetensors', '')
    path = confidence_path(weights.path)
    fitted = MatchConfidence(2, 4, ('row', 'dual'))
    save_confidence(fitted, path, CONFIG)
    found = find_confidence(weights, CONFIG)
    assert found is not None
    assert found.names == ('row', 'dual')
    measures = torch.randn(7, len(MEASURES))
    torch.testing.assert_close(found(measures), fitted(measures))
    other = SAMNetConfig(matching_layers=('relu4_1',), projection=0)
    assert find_confidence(weights, other) is None
    path.write_bytes(b'no archive')
    with pytest.raises(WeightsError, match=r'mine\.confidence\.npz'):
        find_confidence(weights, CONFIG)


@pytest.mark.slow
def test_a_network_with_it_is_sure_of_an_image_and_itself_alone(
    tmp_path: Path,
) -> None:
    images = {'chelsea': data.chelsea(), 'coffee': data.coffee()}
    for name, image in images.items():
        io.imsave(tmp_path / f'{name}.png', image)
    shape = images['chelsea'].shape
    points = np.array([[0.3, 0.4], [0.5, 0.5], [0.7, 0.4]]) * (
        shape[1],
        shape[0],
    )
    cats = [
        AnnotatedImage(
            tmp_path / 'chelsea.png', 'cat', points, np.ones(3, bool), 300.0
        )
        for _ in range(2)
    ]
    photographs = [
        image for image in read_images(tmp_path) if image.path.stem == 'coffee'
    ]
    pairs = list(known_pairs(cats, photographs, None, pairs=16, size=96))
    assert {pair.kind for pair in pairs} == set(KINDS) - {
        'two kinds',
        'moving object',
    }
    model = read_model(get_weights('samnet').path)
    matches = collect_matches(model, model.features, pairs)
    absent = torch.from_numpy(matches.kinds == 'absent')
    assert 0 < float(matches.right.mean()) < 1
    assert float(matches.right[absent].max()) == 0

    def sure(source: str, target: str, confidence: str) -> float:
        found = match(
            images[source],
            images[target],
            device='cpu',
            precision='fp32',
            attributes=False,
            fine=False,
            confidence=confidence,
            candidates=False,
        )
        return float(found.forward_cell_confidence.mean())

    same, other = (
        sure('chelsea', name, 'calibrated') for name in ('chelsea', 'coffee')
    )
    assert same > other + 0.2
    assert sure('chelsea', 'chelsea', 'paper') != same
