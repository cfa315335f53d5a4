"""What twenty images teach: the tool, on photographs of the package."""

from __future__ import annotations

import json
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fine_tuning import COLLECTIONS, Collection, main, mice
from skimage import data, io

from napari_samnet.datasets.pair_lists import ImageFile
from napari_samnet.evaluation.protocols.synthetic import (
    Photographs,
    Synthetic,
)

#: A lesson that takes seconds.
SHORT = 'size=96,crop=32,pairs=8,matcher_batch=1,device=cpu,precision=fp32'


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    files = []
    for name in ('astronaut', 'coffee', 'cell', 'chelsea'):
        files.append(tmp_path / f'{name}.png')
        io.imsave(files[-1], getattr(data, name)()[:96, :96])
    return files


@pytest.mark.slow
def test_a_collection_is_learnt_from_and_measured_once(
    photographs: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    *learnt, other = photographs

    def collection(_: Path) -> Collection:
        files = [ImageFile(other, other.stem, 'thing')]
        warps = partial(Synthetic, Photographs(files), seed=0)
        marked = np.array([[20.0, 20], [60, 30], [40, 70]])
        points = dict.fromkeys(learnt, marked)
        return Collection(learnt, {'known warps': warps}, points)

    monkeypatch.setitem(COLLECTIONS, 'mice', collection)
    words = ['--root', str(tmp_path), '--out', str(tmp_path / 'runs')]
    words += ['--collection', 'mice', '--limit', '1']
    taught = 'matcher_steps=0,feature_steps=1,feature_warps=1,keypoints=yes'
    words += ['--recipe', f'default={SHORT},matcher_steps=1']
    words += ['--recipe', f'points={SHORT},{taught}']
    assert main(words) == 0
    table = capsys.readouterr().out
    for network in ('before', 'default', 'points'):
        assert f'| {network} | samnet |' in table
        assert f'| {network} | nearest |' in table
    done = tmp_path / 'runs' / 'mice' / 'points' / 'result-1.json'
    scores = json.loads(done.read_text(encoding='utf-8'))
    assert scores['known warps']['samnet']['epe'] > 0
    made = done.stat().st_mtime_ns
    assert main(words) == 0
    assert capsys.readouterr().out == table
    assert done.stat().st_mtime_ns == made


def test_wrong_words_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ['--root', str(tmp_path), '--out', str(tmp_path / 'runs')]
    for recipe in ('nothing', 'one=steps', 'one=steps=2', 'one=size=3'):
        assert main([*words, '--recipe', recipe]) == 2
    # No such data.
    assert main(words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 5
    assert all(line.startswith('fine_tuning: ') for line in lines)


def test_mice_that_are_measured_are_not_learnt_from(tmp_path: Path) -> None:
    header = 'source,target,XA,YA,XB,YB,src_w,src_h,trg_w,trg_h'
    names = [f'{index:02}.png' for index in range(29)]
    points = '10;20;20;40,20;10;30;25'
    rows = [
        f'{one},{other},{points},{points},64,48,64,48'
        for one, other in pairwise(names)
    ]
    (tmp_path / 'manifests').mkdir()
    listed = tmp_path / 'manifests' / 'mouse_pairs.csv'
    listed.write_text('\n'.join([header, *rows]))
    for name in names:
        io.imsave(
            tmp_path / name,
            np.zeros((48, 64, 3), np.uint8),
            check_contrast=False,
        )
    collection = mice(tmp_path)
    assert len(collection.learnt) == 20
    assert collection.points is not None
    assert set(collection.points) == set(collection.learnt)
    (protocol,) = (make() for make in collection.measured.values())
    shown = {protocol.load(index).name for index in range(len(protocol))}
    assert len(protocol) == 9 * 8
    assert not any(
        path.stem in name for path in collection.learnt for name in shown
    )
