"""The same input gives the same arrays: again, elsewhere, and by command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.io import imread, imsave
from soak.images import blobs
from tifffile import imwrite

from napari_samnet.cli.main import main
from napari_samnet.correspondence import ARRAYS, Correspondence
from napari_samnet.errors import InputError
from napari_samnet.matching.match import match
from napari_samnet.matching.reproduce import repeat
from napari_samnet.runtime.feature_cache import FEATURES

pytestmark = pytest.mark.slow

OPTIONS: dict[str, Any] = {
    'size': 64,
    'window': 5,
    'iterations': 2,
    'device': 'cpu',
}

IMAGES = [
    np.round(255 * blobs((70, 90), 3, k)).astype(np.uint8) for k in (1, 2)
]
LABELS = (blobs((70, 90), 1, 3)[..., 0] > 0.5).astype(np.uint16) * 700

CHILD = """
import sys
import numpy as np
import torch
from napari_samnet import match
torch.set_num_threads(int(sys.argv[3]))
with np.load(sys.argv[1], allow_pickle=False) as file:
    arrays = dict(file)
options = {'size': 64, 'window': 5, 'iterations': 2, 'device': 'cpu'}
match(
    arrays['source'], arrays['target'], labels=arrays['labels'], **options
).save(sys.argv[2])
"""


@pytest.fixture(scope='module')
def found() -> Correspondence:
    return match(*IMAGES, labels=LABELS, **OPTIONS)


def check_same(one: Correspondence, other: Correspondence) -> None:
    for name in ARRAYS:
        before, after = getattr(one, name), getattr(other, name)
        assert (before is None) == (after is None), name
        if before is not None:
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after, err_msg=name)


def test_again(found: Correspondence) -> None:
    # With the features kept, and with none.
    check_same(found, match(*IMAGES, labels=LABELS, **OPTIONS))
    match(*IMAGES[::-1], **{**OPTIONS, 'window': 7})
    FEATURES.clear()
    check_same(found, match(*IMAGES, labels=LABELS, **OPTIONS))


def test_with_random_numbers_drawn_between(found: Correspondence) -> None:
    before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    torch.manual_seed(9)
    FEATURES.clear()
    try:
        check_same(found, match(*IMAGES, labels=LABELS, **OPTIONS))
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])  # noqa: NPY002


def test_no_match_draws_random_numbers() -> None:
    state = torch.get_rng_state()
    match(*IMAGES, **OPTIONS)
    assert torch.equal(torch.get_rng_state(), state)


def test_in_another_process(found: Correspondence, tmp_path: Path) -> None:
    np.savez(
        tmp_path / 'images.npz',
        source=IMAGES[0],
        target=IMAGES[1],
        labels=LABELS,
    )
    made = [tmp_path / 'images.npz', tmp_path / 'found.npz']
    threads = str(torch.get_num_threads())
    subprocess.run(
        [sys.executable, '-c', CHILD, *map(str, made), threads], check=True
    )
    check_same(found, Correspondence.load(made[1]))


class TestRepeat:
    @pytest.fixture
    def files(self, tmp_path: Path) -> list[str]:
        """Result, source, target and labels as files."""
        paths = [
            tmp_path / name
            for name in ('found.npz', 'source.png', 'target.png', 'mask.png')
        ]
        for path, image in zip(paths[1:], [*IMAGES, LABELS], strict=True):
            imsave(path, image, check_contrast=False)
        return [str(path) for path in paths]

    def run(self, files: list[str], *more: str) -> int:
        return main(['repeat', *files[:3], '--labels', files[3], *more])

    def test_bit_for_bit(
        self,
        found: Correspondence,
        files: list[str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        found.save(files[0])
        assert self.run(files, '--json') == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts['same'] is True
        assert facts['provenance'] == []
        assert set(facts['differences']) == set(ARRAYS)
        assert set(facts['differences'].values()) == {0.0}
        assert self.run(files) == 0
        assert capsys.readouterr().out.count('the same') == len(ARRAYS)

    def test_of_what_transfer_wrote(
        self, files: list[str], tmp_path: Path
    ) -> None:
        out = tmp_path / 'out'
        options = ['--size', '64', '--window', '5', '--iterations', '3']
        command = ['transfer', *files[1:3], '--labels', files[3]]
        assert main([*command, '--out', str(out), *options]) == 0
        files[0] = str(out / 'correspondence.npz')
        assert self.run(files) == 0

    def test_of_one_page_of_a_stack(
        self,
        files: list[str],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        image = imread(files[1])
        files[1] = str(tmp_path / 'stack.tif')
        kind = 'rgb' if image.ndim == 3 else 'minisblack'
        imwrite(files[1], np.stack([image[::-1], image]), photometric=kind)
        out = tmp_path / 'out'
        options = ['--size', '64', '--window', '5', '--iterations', '1']
        options += ['--precision', 'fp32', '--no-attributes']
        command = ['transfer', *files[1:3], '--page', '1,0', '--out', str(out)]
        assert main([*command, *options]) == 0
        files[0] = str(out / 'correspondence.npz')
        capsys.readouterr()
        assert self.run(files) == 2
        assert '--page' in capsys.readouterr().err
        assert self.run(files, '--page', '1,0') == 0

    def test_of_a_match_that_was_stopped(self, tmp_path: Path) -> None:
        stopped = match(
            *IMAGES,
            **{**OPTIONS, 'iterations': 5, 'tolerance': 0.0},
            on_step=lambda step: step.index == 2,
        )
        assert repeat(stopped, *IMAGES).same

    def test_says_what_is_not_as_it_was(
        self,
        found: Correspondence,
        files: list[str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        from dataclasses import replace

        about = json.loads(json.dumps(found.metadata))
        about['versions']['torch'] = '1.0'
        other = found.forward.copy()
        other[2, 3] += 0.25
        replace(found, forward=other, metadata=about).save(files[0])
        assert self.run(files) == 1
        out = capsys.readouterr().out
        assert 'forward: differs by up to 0.25' in out
        assert 'backward: the same' in out
        assert 'torch: 1.0 then' in out

    def test_of_other_images_is_refused(self, found: Correspondence) -> None:
        with pytest.raises(InputError, match='target is not the image'):
            repeat(found, IMAGES[0], IMAGES[0], labels=LABELS)
        with pytest.raises(InputError, match='labels are needed'):
            repeat(found, *IMAGES)

    @pytest.mark.parametrize('missing', ['options', 'images', 'weights'])
    def test_of_what_does_not_say_how_is_refused(
        self, found: Correspondence, missing: str
    ) -> None:
        from dataclasses import replace

        about = {k: v for k, v in found.metadata.items() if k != missing}
        with pytest.raises(InputError, match=r'weights|does not say how'):
            repeat(replace(found, metadata=about), *IMAGES, labels=LABELS)


def test_a_result_says_how_it_was_made(found: Correspondence) -> None:
    about = json.loads(json.dumps(found.metadata))
    assert about['options']['window'] == 5
    assert len(about['weights']['sha256']) == 64
    assert {'napari-samnet', 'torch', 'numpy'} <= about['versions'].keys()
    assert {'python', 'machine', 'threads'} <= about['environment'].keys()
    for side in ('source', 'target'):
        assert len(about['images'][side]['digest']) == 32
    for resolved in ('device', 'precision', 'size', 'iterations_used'):
        assert resolved in about
