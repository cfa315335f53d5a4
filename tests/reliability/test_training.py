"""Training that is interrupted ends where it would have ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from skimage import data
from skimage.io import imsave

from napari_samnet.datasets.image_lists import read_images
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.recipe import WEIGHTS_NAME, train_steps

pytestmark = pytest.mark.slow

OPTIONS = TrainingOptions(
    start='samnet',
    decoder_steps=3,
    matcher_steps=3,
    pairs=2,
    iterations=2,
    size=96,
    crop=32,
    decoder_batch=1,
    matcher_batch=1,
    device='cpu',
    precision='fp32',
)


@pytest.fixture(scope='module')
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('photographs')
    for name in ('chelsea', 'astronaut', 'coffee'):
        image = getattr(data, name)()[:192, :192]
        imsave(folder / f'{name}.png', image, check_contrast=False)
    return folder


@pytest.fixture(scope='module')
def whole(
    photographs: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """Networks and checkpoints of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp('whole')
    list(train_steps(read_images(photographs), folder, OPTIONS))
    return state(folder)


def state(folder: Path) -> dict[str, bytes]:
    found = {
        path.name: path.read_bytes() for path in folder.glob('*.safetensors')
    }
    assert WEIGHTS_NAME in found
    return found


@pytest.mark.parametrize('stops', [[2, 3]])
def test_ends_in_the_same_state(
    photographs: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    stops: list[int],
) -> None:
    images = read_images(photographs)
    for stop in stops:
        steps = train_steps(images, tmp_path, OPTIONS)
        for _ in range(stop):
            next(steps)
        steps.close()
    list(train_steps(images, tmp_path, OPTIONS))
    assert state(tmp_path) == whole
