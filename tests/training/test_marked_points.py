"""Points beside images, as napari saves them, and what they teach."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import data, io

from napari_samnet.cli.main import main
from napari_samnet.errors import InputError
from napari_samnet.runtime.weights import get_weights, read_model
from napari_samnet.training.marked_points import read_marked_images

#: Row and column of each point.
PLACES = [(10.0, 20.0), (30.0, 70.0), (80.0, 40.0)]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three photographs, two of them with points beside them."""
    folder = tmp_path / 'images'
    (folder / 'day 2').mkdir(parents=True)
    for file in ('one.png', 'day 2/two.png', 'three.png'):
        io.imsave(folder / file, data.chelsea()[:96, :96])
    _mark(folder / 'one.csv', PLACES)
    _mark(folder / 'day 2' / 'two.csv', PLACES)
    return folder


def _mark(
    path: Path, places: list[tuple[float, float]], names: str = ''
) -> None:
    """Write points as napari does, some of them with names."""
    lines = ['index,axis-0,axis-1' + (',label' if names else '')]
    for index, (row, column) in enumerate(places):
        name = f',{names[index]}' if names else ''
        lines.append(f'{index}.0,{row},{column}{name}')
    path.write_text('\n'.join(lines) + '\n')


def test_points_are_one_kind_by_their_order(images: Path) -> None:
    found = read_marked_images(images, images)
    assert {image.path.name for image in found} == {'one.png', 'two.png'}
    assert len({image.group for image in found}) == 1
    for image in found:
        assert image.points.tolist() == [[x, y] for y, x in PLACES]
        assert image.visible.all()
        assert image.side == 70


def test_points_are_one_kind_by_their_names(images: Path) -> None:
    _mark(images / 'one.csv', PLACES, 'abc')
    _mark(images / 'day 2' / 'two.csv', PLACES[::-1], 'cad')
    by_name = {i.path.stem: i for i in read_marked_images(images, images)}
    one, two = by_name['one'], by_name['two']
    # a, b, c in one; c, a, d in two.
    order = [(i.points.tolist(), i.visible.tolist()) for i in (one, two)]
    shown = [
        {tuple(p) for p, seen in zip(*each, strict=True) if seen}
        for each in order
    ]
    assert shown[0] == shown[1] == {(x, y) for y, x in PLACES}
    both = one.visible & two.visible
    assert len(both) == 4
    assert both.sum() == 2


def test_points_lie_in_a_folder_of_their_own(
    images: Path, tmp_path: Path
) -> None:
    points = tmp_path / 'points'
    (points / 'day 2').mkdir(parents=True)
    for file in ('one.csv', 'day 2/two.csv'):
        (images / file).rename(points / file)
    assert len(read_marked_images(images, points)) == 2
    with pytest.raises(InputError, match='named like its image, got those of'):
        read_marked_images(images, images)


def test_wrong_points_are_told(images: Path) -> None:
    _mark(images / 'one.csv', PLACES, 'aab')
    with pytest.raises(InputError, match=r'one\.csv names a point twice'):
        read_marked_images(images, images)
    for file in ('one.csv', 'day 2/two.csv'):
        _mark(images / file, PLACES[:2])
    with pytest.raises(InputError, match='at least 3 points'):
        read_marked_images(images, images)


@pytest.mark.slow
def test_a_command_teaches_by_points(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'run'
    short = ['size=96', 'crop=32', 'feature_steps=2', 'feature_warps=1']
    short += ['feature_batch=1', 'device=cpu', 'precision=fp32']
    words = ['train', str(images), '--points', str(images), '--out', str(out)]
    for option in short:
        words += ['--option', option]
    assert main([*words, '--name', 'taught']) == 0
    assert 'kept as taught' in capsys.readouterr().err
    last = (out / 'curve.jsonl').read_text().splitlines()[-1]
    assert json.loads(last)['keypoints'] > 0
    before = read_model(get_weights('samnet').path).features.projection
    kept = get_weights('taught')
    after = read_model(kept.path).features.projection
    assert before is not None
    assert after is not None
    assert not np.allclose(before, after)
    # Where files lie is nobody else's business.
    assert str(tmp_path) not in json.dumps(kept.card)


def test_points_need_a_folder_of_images(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / 'images.csv'
    listed.write_text('file\nimages/one.png\n')
    words = ['train', str(listed), '--points', str(images)]
    assert main([*words, '--out', str(tmp_path / 'run')]) == 2
    assert 'the images must be a folder' in capsys.readouterr().err


@pytest.mark.parametrize('points', ['none', 'empty'])
def test_points_that_are_not_there_begin_no_run(
    images: Path, points: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (images.parent / 'empty').mkdir()
    out = images.parent / 'run'
    command = ['train', str(images), '--out', str(out)]
    command += ['--points', str(images.parent / points)]
    assert main(command) == 2
    assert 'points must lie in' in capsys.readouterr().err
    assert not out.exists()


def test_a_run_cannot_go_into_a_file(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['train', str(images), '--out', str(images / 'one.png')]
    assert main(command) == 2
    assert 'is a file, expected a folder' in capsys.readouterr().err
