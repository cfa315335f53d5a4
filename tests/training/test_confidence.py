"""The confidence: fitted so that it says how often a match is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data, io

from napari_samnet import match
from napari_samnet.datasets.image_lists import read_images
from napari_samnet.errors import InputError
from napari_samnet.runtime.weights import get_weights, read_model, save_model
from napari_samnet.samnet.confidence import EVIDENCE
from napari_samnet.training.confidence import (
    Matches,
    collect_matches,
    fit_logistic,
    with_confidence,
)
from napari_samnet.training.taught_examples import AnnotatedImage


def made_up(count: int = 4000) -> Matches:
    generator = torch.Generator().manual_seed(0)
    answers = torch.randn(count, len(EVIDENCE), generator=generator)
    answers[:, 1] = 5 + 3 * answers[:, 1]
    chance = torch.sigmoid(2 * answers[:, 0] - 0.5 * (answers[:, 1] - 5))
    right = (torch.rand(count, generator=generator) < chance).float()
    return Matches(answers, right, torch.full((count,), 1 / count))


def test_the_logistic_regression_is_calibrated() -> None:
    matches = made_up()
    weight, bias = fit_logistic(matches)
    chance = torch.sigmoid(matches.answers @ weight[0] + bias)
    for low in np.arange(0, 1, 0.2):
        inside = (chance >= low) & (chance < low + 0.2)
        assert float(matches.right[inside].mean()) == pytest.approx(
            float(chance[inside].mean()), abs=0.06
        )
    assert float(weight[0, 0]) == pytest.approx(2, abs=0.3)
    assert float(weight[0, 1]) == pytest.approx(-0.5, abs=0.1)
    assert float(weight[0, 2:].abs().max()) < 0.2


def test_matches_that_are_all_alike_are_refused() -> None:
    matches = made_up(20)
    with pytest.raises(InputError, match='right and wrong'):
        fit_logistic(matches._replace(right=torch.ones(20)))


def test_a_network_with_it_is_sure_of_an_image_and_itself_alone(
    tmp_path: Path,
) -> None:
    images = {'chelsea': data.chelsea(), 'coffee': data.coffee()}
    for name, image in images.items():
        io.imsave(tmp_path / f'{name}.png', image)
    photographs = read_images(tmp_path)
    shape = images['chelsea'].shape
    points = np.array([[0.3, 0.4], [0.5, 0.5], [0.7, 0.4]]) * (
        shape[1],
        shape[0],
    )
    cat = AnnotatedImage(
        tmp_path / 'chelsea.png', 'cat', points, np.ones(3, bool), 300.0
    )
    model = read_model(get_weights('samnet').path)
    matches = collect_matches(
        model,
        model.features,
        [cat, cat],
        [image for image in photographs if image.path.stem == 'coffee'],
        pairs=4,
        size=96,
    )
    assert 0 < float(matches.right.mean()) < 1
    path = tmp_path / 'sure.safetensors'
    save_model(with_confidence(model, matches), path)

    def sure(source: str, target: str) -> float:
        found = match(
            images[source],
            images[target],
            weights=path,
            size=96,
            device='cpu',
            precision='fp32',
            attributes=False,
        )
        return float(found.forward_confidence.mean())

    assert sure('chelsea', 'chelsea') > sure('chelsea', 'coffee') + 0.2
