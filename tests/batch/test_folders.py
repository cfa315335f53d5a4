"""A folder of annotated images, and a folder of others."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage import data
from skimage.io import imread, imsave

from napari_samnet import InputError
from napari_samnet.batch.folders import find_annotated, find_unlabeled
from napari_samnet.cli.main import main
from napari_samnet.datasets.metrics import iou
from napari_samnet.outputs.written import WrittenFiles

SIZE = '128'


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A cat and a cup with labels, two other views and some noise."""
    for name in ('images', 'masks', 'targets'):
        (tmp_path / name).mkdir()
    cat, cup = data.chelsea()[:, 60:360], data.coffee()[:, 100:500]
    for name, image in (('cat', cat), ('cup', cup)):
        labels = np.zeros(image.shape[:2], np.uint8)
        labels[60:220, 70:240] = 7
        imsave(tmp_path / 'images' / f'{name}.png', image)
        imsave(
            tmp_path / 'masks' / f'{name}_mask.png',
            labels,
            check_contrast=False,
        )
    imsave(tmp_path / 'targets' / 'a.png', cat[:, ::-1])
    imsave(tmp_path / 'targets' / 'b.png', cup[10:, 10:])
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    imsave(tmp_path / 'targets' / 'noise.png', noise)
    (tmp_path / 'targets' / 'broken.png').write_bytes(b'no picture')
    return tmp_path


def run(folders: Path, *more: str) -> int:
    return main(
        [
            'batch',
            '--annotated',
            str(folders / 'images'),
            str(folders / 'masks'),
            '--targets',
            str(folders / 'targets'),
            '--out',
            str(folders / 'out'),
            '--best',
            '1',
            '--size',
            SIZE,
            *more,
        ]
    )


@pytest.mark.slow
def test_results_are_ranked_and_one_image_is_proposed(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folders, '--json') == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts['targets'] == 4
    assert facts['failed'] == 1
    with open(folders / 'out' / 'ranking.csv', newline='') as table:
        rows = list(csv.DictReader(table))
    names = [Path(row['target']).name for row in rows]
    assert names[0] == 'broken.png'
    assert rows[0]['error']
    assert names[1] == 'noise.png'
    by_name = dict(zip(names, rows, strict=True))
    assert by_name['a.png']['references'] == 'cat.png'
    assert by_name['b.png']['references'] == 'cup.png'
    labels = imread(folders / 'out' / 'a_labels.tif')
    truth = np.zeros((300, 300), bool)
    truth[60:220, 70:240] = True
    assert set(np.unique(labels)) <= {0, 7}
    assert iou(labels > 0, truth[:, ::-1]) > 0.7
    assert Path(facts['next_to_annotate']).name in names[1:]
    # The same again replaces its own files, but nothing else.
    assert run(folders) == 1
    assert 'look here first' in capsys.readouterr().out


def test_nothing_else_is_overwritten(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders / 'out').mkdir()
    kept = folders / 'out' / 'a_labels.tif'
    kept.write_bytes(b'mine')
    assert run(folders) == 2
    assert 'no run has written it' in capsys.readouterr().err
    assert kept.read_bytes() == b'mine'


def test_labels_among_images_are_none(folders: Path) -> None:
    targets = folders / 'targets'
    mask = targets / 'a_mask.png'
    (folders / 'masks' / 'cat_mask.png').rename(mask)
    for name in ('a_labels.tif', 'of_others_labels.tif'):
        tifffile.imwrite(targets / name, np.zeros((5, 5), np.uint8))
    WrittenFiles(targets).note('a_labels.tif')
    found = [path.name for path in find_unlabeled(targets, [mask])]
    assert found == [
        'a.png',
        'b.png',
        'broken.png',
        'noise.png',
        'of_others_labels.tif',
    ]
    with pytest.raises(InputError, match='found only labels'):
        find_unlabeled(folders / 'masks', [*(folders / 'masks').iterdir()])


def test_folders_must_fit(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = find_annotated(folders / 'images', folders / 'masks')
    assert [(a.name, b.name) for a, b in pairs] == [
        ('cat.png', 'cat_mask.png'),
        ('cup.png', 'cup_mask.png'),
    ]
    with pytest.raises(InputError, match='same name'):
        find_annotated(folders / 'targets', folders / 'masks')
    assert main(['batch', '--out', str(folders / 'out')]) == 2
    assert 'PAIRS.csv, or' in capsys.readouterr().err


@pytest.mark.slow
def test_one_page_of_each(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ('images', 'masks', 'targets'):
        for path in [*(folders / name).iterdir()]:
            if path.name != 'cat.png' and path.name != 'cat_mask.png':
                path.unlink()
    cat = imread(folders / 'images' / 'cat.png')
    for path in (
        folders / 'images' / 'cat.png',
        folders / 'targets' / 'a.png',
    ):
        path.unlink(missing_ok=True)
        stack = np.stack([np.zeros_like(cat), cat])
        tifffile.imwrite(path.with_suffix('.tif'), stack, photometric='rgb')
    assert run(folders) == 2
    assert 'choose a page from 0 to 1' in capsys.readouterr().err
    assert run(folders, '--page', '1', '--channel', '1') == 0
    truth = imread(folders / 'masks' / 'cat_mask.png') > 0
    labels = imread(folders / 'out' / 'a_labels.tif')
    assert iou(labels > 0, truth) > 0.85
