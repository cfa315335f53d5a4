"""Films and stacks on the command line."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage import data
from skimage.io import imread, imsave

from napari_samnet.cli.main import main

QUICK = ['--size', '64', '--no-outlines']


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A folder of three frames that move, and a mask of one of them."""
    folder = tmp_path / 'film'
    folder.mkdir()
    image = data.chelsea()[:200]
    for number, left in enumerate((60, 66, 72)):
        # Natural order is not that of the letters.
        name = f'frame{8 + number}.png'
        imsave(folder / name, image[:, left : left + 240])
    labels = np.zeros((200, 240), np.uint16)
    labels[60:140, 60:140] = 300
    labels[150:190, 20:80] = 2
    imsave(tmp_path / 'mask.png', labels, check_contrast=False)
    return folder


def table(folder: Path) -> list[dict[str, str]]:
    """The report of a run."""
    with open(folder / 'report.csv', newline='') as file:
        return list(csv.DictReader(file))


def test_a_folder_gets_labels_and_a_report_per_plane(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, mask = tmp_path / 'out', tmp_path / 'mask.png'
    command = ['propagate', str(film), '--labels', f'frame9={mask}']
    assert main([*command, '--out', str(out), '--json', *QUICK]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [plane['file'] for plane in told['planes']] == [
        f'frame{number}_labels.tif' for number in (8, 9, 10)
    ]
    rows = table(out)
    assert [row['index'] for row in rows] == ['0', '1', '2']
    assert [row['source'] for row in rows] == ['1', '', '1']
    assert rows[1]['state'] == 'annotated'
    np.testing.assert_array_equal(
        imread(out / 'frame9_labels.tif'), imread(mask)
    )
    for number in (8, 10):
        carried = imread(out / f'frame{number}_labels.tif')
        assert set(np.unique(carried)) == {0, 2, 300}


def test_a_stack_by_direction_and_ids(film: Path, tmp_path: Path) -> None:
    frames = [imread(film / f'frame{number}.png') for number in (8, 9, 10)]
    stack, masks = tmp_path / 'stack.tif', tmp_path / 'masks.tif'
    tifffile.imwrite(stack, np.stack(frames), photometric='rgb')
    labels = np.zeros((3, 200, 240), np.uint16)
    labels[1] = imread(tmp_path / 'mask.png')
    tifffile.imwrite(masks, labels, photometric='minisblack')
    out = tmp_path / 'out'
    command = ['propagate', str(stack), '--labels', str(masks), *QUICK]
    command += ['--start', '1', '--direction', 'backwards', '--ids', '2']
    assert main([*command, '--out', str(out)]) == 0
    assert [row['index'] for row in table(out)] == ['0', '1']
    carried = imread(out / 'stack_00000_labels.tif')
    assert set(np.unique(carried)) == {0, 2}
    assert not (out / 'stack_00002_labels.tif').exists()


def test_a_corrected_file_stays_where_other_ids_are_carried(
    film: Path, tmp_path: Path
) -> None:
    """Its labels lead nothing then, and nothing is written over them."""
    out, mask = tmp_path / 'out', tmp_path / 'mask.png'
    command = ['propagate', str(film), '--labels', f'frame9={mask}', *QUICK]
    assert main([*command, '--out', str(out)]) == 0
    file = out / 'frame10_labels.tif'
    corrected = np.where(imread(file) == 2, 0, imread(file))
    tifffile.imwrite(file, corrected)
    command += ['--labels', f'frame10={file}', '--ids', '2']
    assert main([*command, '--out', str(out)]) == 0
    np.testing.assert_array_equal(imread(file), corrected)
    assert set(np.unique(imread(out / 'frame8_labels.tif'))) == {0, 2}
    states = {row['index']: row['state'] for row in table(out)}
    assert states['1'] == states['2'] == 'annotated'


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--labels', '7=mask.png'], 'a plane from 0 to 2'),
        (['--labels', 'mask.png'], 'a plane for each of the 3'),
        (['--labels', '0=mask.png', '--ids', 'a'], 'whole numbers'),
        (['--labels', '0=mask.png', '--ids', '9'], 'no labels to carry'),
        (['--labels', '0=mask.png', '--start', '1'], 'no labels to begin'),
        (['--labels', '0=nothing.png'], 'nothing.png'),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_written(
    film: Path,
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(['propagate', 'film', *words, '--out', 'out', *QUICK]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_results_are_corrected_in_place(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One plane is painted on, another one is emptied."""
    out, mask = tmp_path / 'out', tmp_path / 'mask.png'
    command = ['propagate', str(film), '--fast', '--out', str(out), *QUICK]
    assert main([*command, '--labels', f'frame10={mask}']) == 0
    painted, emptied = (out / f'frame{n}_labels.tif' for n in (9, 10))
    labels = imread(painted)
    labels[60:140, 60:140] = 7
    tifffile.imwrite(painted, labels)
    tifffile.imwrite(emptied, 0 * labels)
    before = [file.read_bytes() for file in (painted, emptied)]
    words = ['--labels', f'frame9={painted}']
    assert main([*command, *words]) == 2
    said = f'keep it with --labels frame10={emptied}'
    assert said in capsys.readouterr().err
    words += ['--labels', f'frame10={emptied}']
    assert main([*command, *words]) == 0
    assert [file.read_bytes() for file in (painted, emptied)] == before
    carried = imread(out / 'frame8_labels.tif')
    assert (carried == 7).sum() > 0.8 * 6400
    rows = table(out)
    assert [row['state'] for row in rows[1:]] == ['annotated', 'annotated']
    assert [row['reason'] for row in rows[1:]] == ['corrected by hand'] * 2
    assert [row['file'] for row in rows] == [
        f'frame{number}_labels.tif' for number in (8, 9, 10)
    ]


def test_labels_in_the_folder_of_the_film_are_no_frames(
    film: Path, tmp_path: Path
) -> None:
    mask = film / 'frame8_mask.png'
    (tmp_path / 'mask.png').rename(mask)
    command = ['propagate', str(film), '--labels', f'frame8={mask}', '--fast']
    for _ in range(2):
        assert main([*command, '--out', str(film), *QUICK]) == 0
        frames = [row['image'] for row in table(film)]
        assert frames == ['frame8.png', 'frame9.png', 'frame10.png']
    assert not (film / 'frame8_labels_labels.tif').exists()


def test_what_is_read_is_not_overwritten(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = film.parent / 'masks' / 'frame8_labels.tif'
    mask.parent.mkdir()
    tifffile.imwrite(mask, imread(tmp_path / 'mask.png'))
    before = mask.read_bytes()
    command = ['propagate', str(film), '--labels', f'1={mask}', *QUICK]
    assert main([*command, '--out', str(mask.parent)]) == 2
    assert 'would be overwritten' in capsys.readouterr().err
    assert mask.read_bytes() == before


def test_what_was_said_of_other_planes_stays(
    film: Path, tmp_path: Path
) -> None:
    out, mask = tmp_path / 'out', tmp_path / 'mask.png'
    command = ['propagate', str(film), '--out', str(out), *QUICK, '--fast']
    assert main([*command, '--labels', f'frame9={mask}']) == 0
    before = table(out)
    command += ['--labels', f'frame9={mask}', '--start', 'frame9']
    assert main([*command, '--direction', 'forwards']) == 0
    assert table(out) == before


def test_frames_that_cannot_be_used_end_nothing(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged frame, one of another size, and a gray one among colors."""
    still = imread(film / 'frame8.png')
    for number in range(11, 15):
        imsave(film / f'frame{number}.png', still)
    damaged = film / 'frame9.png'
    damaged.write_bytes(damaged.read_bytes()[:2000])
    imsave(film / 'frame11.png', still[:100])
    imsave(film / 'frame12.png', still[..., 1])
    out, mask = tmp_path / 'out', tmp_path / 'mask.png'
    command = ['propagate', str(film), '--labels', f'frame8={mask}', '--fast']
    assert main([*command, '--out', str(out), *QUICK]) == 1
    told = capsys.readouterr().out
    assert 'Done, 5 of 7 planes' in told
    assert 'left out frame9.png and frame11.png; look at' in told
    rows = {row['image']: row for row in table(out)}
    assert 'truncated' in rows['frame9.png']['reason']
    assert 'got (100, 240) for plane 3' in rows['frame11.png']['reason']
    left_out = [name for name, row in rows.items() if not row['file']]
    assert left_out == ['frame9.png', 'frame11.png']
    assert {rows[name]['state'] for name in left_out} == {'skipped'}
    last = imread(out / 'frame14_labels.tif')
    assert ((last > 0) & (imread(mask) > 0)).sum() > 0.9 * (last > 0).sum()


def test_output_may_be_read_in_part(film: Path, tmp_path: Path) -> None:
    """As `napari-samnet ... | head -0` does."""
    mask = tmp_path / 'mask.png'
    code = 'from napari_samnet.cli.main import main; raise SystemExit(main())'
    command = ['propagate', str(film), '--labels', f'frame9={mask}', '--fast']
    command += ['--out', str(tmp_path / 'out'), '--json', *QUICK]
    with subprocess.Popen(
        [sys.executable, '-c', code, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        told = process.stderr.read().decode()
        assert process.wait() == 0
    assert 'Error' not in told
    assert (tmp_path / 'out' / 'report.csv').is_file()


def test_planes_on_two_axes_are_told(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [imread(film / f'frame{k}.png')[..., 0] for k in (8, 9, 10)]
    stack = np.stack([np.stack([frame, frame]) for frame in frames])
    file, out = tmp_path / 'tz.tif', tmp_path / 'out'
    axes = {'axes': 'TZYX'}
    tifffile.imwrite(file, stack, imagej=True, metadata=axes)
    command = ['propagate', str(file), '--labels', f'0={tmp_path}/mask.png']
    assert main([*command, '--out', str(out), *QUICK]) == 0
    told = capsys.readouterr().err
    assert 'tz.tif has 3 × 2 planes on the axes T, Z' in told


def test_ids_that_no_plane_shows_are_told(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = f'0={tmp_path}/mask.png'
    command = ['propagate', str(film), '--labels', mask, *QUICK]
    out = ['--out', str(tmp_path / 'out')]
    assert main([*command, *out, '--ids', '2,3,30']) == 0
    told = capsys.readouterr().err
    assert 'no annotated plane shows 3, 30; there are 2, 300' in told
    assert main([*command, *out, '--ids', '2']) == 0
    assert '--ids' not in capsys.readouterr().err
