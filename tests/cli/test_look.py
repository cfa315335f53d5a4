"""``napari-samnet look``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage import io

from napari_samnet.cli.main import main
from napari_samnet.datasets.samples import load_sample


@pytest.mark.slow
def test_learn_once_apply_to_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = load_sample('tissue')
    for name, image in (('a', pair.source), ('b', pair.source[:200])):
        io.imsave(tmp_path / f'{name}.png', image, check_contrast=False)
    io.imsave(tmp_path / 'like.png', pair.target, check_contrast=False)
    (tmp_path / 'no.png').write_text('no picture')
    look = str(tmp_path / 'look.json')
    words = [str(tmp_path / 'a.png'), str(tmp_path / 'like.png'), look]
    assert main(['look', 'learn', *words, '--size', '128']) == 0
    images = [str(tmp_path / f'{name}.png') for name in ('a', 'no', 'b')]
    capsys.readouterr()
    status = main(
        ['look', 'apply', look, *images, '--out', str(tmp_path / 'out')]
        + ['--json']
    )
    said = json.loads(capsys.readouterr().out)
    assert status == 1
    assert len(said['written']) == 2
    assert 'no.png' in next(iter(said['failed']))
    first, second = (io.imread(path) for path in said['written'])
    np.testing.assert_array_equal(first[:200], second)
    stack = np.stack([pair.target[:40, :60], pair.source[:40, :60]])
    tifffile.imwrite(tmp_path / 'stack.tif', stack, photometric='rgb')
    apply = ['look', 'apply', look, str(tmp_path / 'stack.tif')]
    apply += ['--out', str(tmp_path / 'page')]
    assert main(apply) == 2
    assert '--page' in capsys.readouterr().err
    assert main([*apply, '--page', '0,1']) == 2
    assert 'one number' in capsys.readouterr().err
    assert main([*apply, '--page', '1']) == 0
    page = io.imread(tmp_path / 'page' / 'stack.png')
    np.testing.assert_array_equal(page, first[:40, :60])
    brown, violet = (
        image.mean(axis=(0, 1)) for image in (pair.source, pair.target)
    )
    change = np.abs(first.mean(axis=(0, 1)) - violet).sum()
    assert change < 0.5 * np.abs(brown - violet).sum()


def test_an_unknown_word_is_told_by_the_part(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ['look', 'learn', 'a.png', 'b.png', 'look.json', '--sise', '64']
    with pytest.raises(SystemExit, match='2'):
        main(words)
    said = capsys.readouterr().err
    assert said.startswith('napari-samnet look learn: there is no option')
    assert 'did you mean --size?' in said
