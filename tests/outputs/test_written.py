"""What was corrected by hand, or is not ours, is never overwritten."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.io import imread, imsave

from napari_samnet.cli.main import main
from napari_samnet.correspondence import Correspondence
from napari_samnet.datasets.sample_pair import SamplePair
from napari_samnet.errors import InputError
from napari_samnet.outputs.written import NOTES, WrittenFiles

QUICK = ['--size', '64', '--window', '5', '--iterations', '1']
QUICK += ['--no-attributes', '--orientation', 'upright', '--device', 'cpu']
LABELS = ['--outputs', 'labels', '--labels-as', 'labelme']


@pytest.fixture
def work(
    tmp_path: Path, coffee: SamplePair, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with an annotated image and another one, to work in."""
    monkeypatch.chdir(tmp_path)
    imsave('cup.png', coffee.source)
    imsave('mask.png', coffee.labels, check_contrast=False)
    imsave('other.png', coffee.target)
    return tmp_path


def correct(path: Path) -> bytes:
    """Change a result as another program does, within the same second."""
    path.write_bytes(path.read_bytes() + b'\n')
    return path.read_bytes()


def test_a_file_is_ours_while_nobody_changes_it(tmp_path: Path) -> None:
    file = tmp_path / 'labels.tif'
    file.write_bytes(b'one')
    with pytest.raises(InputError, match='no run has written it'):
        WrittenFiles(tmp_path).check([file.name])
    WrittenFiles(tmp_path).note(file.name)
    os.utime(file, (1, 1))
    WrittenFiles(tmp_path).check([file.name, 'missing.tif'])
    with pytest.raises(InputError, match='but is read'):
        WrittenFiles(tmp_path).check([file.name], read=[file])
    file.write_bytes(b'two')
    with pytest.raises(InputError, match='was changed after it was written'):
        WrittenFiles(tmp_path).check([file.name])
    WrittenFiles(tmp_path).drop(file.name)
    assert file.read_bytes() == b'two'
    # A line that was cut off when the computer went down names nothing.
    with open(tmp_path / NOTES, 'a') as notes:
        notes.write('abc')
    assert WrittenFiles(tmp_path).changed([file.name]) == [file.name]


@pytest.mark.slow
@pytest.mark.parametrize('name', ['warped_labels.tif', 'warped_labels.json'])
def test_transfer_keeps_what_was_corrected(
    work: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['transfer', 'cup.png', 'other.png', '--labels', 'mask.png']
    command += ['--out', 'out', *QUICK]
    assert main([*command, *LABELS]) == 0
    assert main([*command, *LABELS]) == 0
    corrected = correct(work / 'out' / name)
    for more in (LABELS, ['--outputs', 'flow']):
        assert main([*command, *more]) == 2
        assert 'was changed after it was written' in capsys.readouterr().err
    assert (work / 'out' / name).read_bytes() == corrected
    # Results of another match do not stay beside new ones.
    (work / 'out' / 'warped_labels.tif').unlink()
    (work / 'out' / 'warped_labels.json').unlink()
    assert main([*command, *LABELS]) == 0
    assert main([*command, '--outputs', 'flow']) == 0
    left = {path.name for path in (work / 'out').iterdir()}
    assert left == {'flow.flo', NOTES}


def test_transfer_leaves_files_of_others(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (work / 'flow.flo').write_bytes(b'mine')
    command = ['transfer', 'cup.png', 'other.png', '--out', '.', *QUICK]
    assert main([*command, '--outputs', 'confidence']) == 0
    assert (work / 'flow.flo').read_bytes() == b'mine'
    assert main([*command, '--outputs', 'flow']) == 2
    assert 'no run has written it' in capsys.readouterr().err
    assert (work / 'flow.flo').read_bytes() == b'mine'


def test_transfer_does_not_overwrite_what_it_reads(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['transfer', 'cup.png', 'other.png', '--labels', 'mask.png']
    assert main([*command, '--out', 'out', *QUICK, *LABELS]) == 0
    command[-1] = 'out/warped_labels.tif'
    command[1:3] = command[2:0:-1]
    assert main([*command, '--out', 'out', *QUICK, *LABELS]) == 2
    assert 'would be overwritten, but is read' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('more', 'said'),
    [
        (['--outputs', 'labels'], 'needs --labels MASK'),
        (['--outputs', 'flow,points'], 'needs --points CSV'),
        (['--outputs', 'transferred'], 'which --no-attributes does not make'),
        (['--labels-as', 'coco'], 'needs labels'),
        (['--pixel-size', '-1'], 'must be a number above 0'),
    ],
)
def test_what_cannot_be_made_is_refused(
    work: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    command = ['transfer', 'cup.png', 'other.png', '--out', 'out', *QUICK]
    try:
        status = main([*command, *more])
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status == 2
    assert said in capsys.readouterr().err
    assert not (work / 'out').exists()


@pytest.mark.parametrize('kind', ['uint16', 'float32'])
def test_the_repainted_image_keeps_its_numbers(
    work: Path, coffee: SamplePair, kind: str
) -> None:
    """A color PNG of ours has 8 bits, which is less than these are."""
    image = (coffee.source * 200.0).astype(kind)
    tifffile.imwrite('deep.tif', image, photometric='rgb')
    command = ['transfer', 'deep.tif', 'other.png', '--out', 'out']
    command += ['--size', '64', '--window', '5', '--iterations', '1']
    assert main([*command, '--device', 'cpu']) == 0
    assert not (work / 'out' / 'transferred.png').exists()
    made = tifffile.imread(work / 'out' / 'transferred.tif')
    kept = Correspondence.load(work / 'out' / 'correspondence.npz')
    assert made.dtype == kind
    np.testing.assert_array_equal(made, kept.transferred)


@pytest.mark.slow
def test_apply_look_and_invert(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(['transfer', 'cup.png', 'other.png', '--out', 'r', *QUICK]) == 0
    )
    saved = 'r/correspondence.npz'
    apply = ['apply', saved, 'mask.png', '--as', 'labels', '--out', 'a']
    assert main(apply) == 0
    assert main(apply) == 0
    corrected = correct(work / 'a' / 'mask-warped.tif')
    assert main(apply) == 2
    assert (work / 'a' / 'mask-warped.tif').read_bytes() == corrected
    for command in (
        ['invert', saved, saved],
        ['invert', saved, 'cup.png'],
        ['look', 'learn', 'cup.png', 'other.png', 'other.png'],
    ):
        files = [Path(saved), Path('cup.png'), Path('other.png')]
        before = [file.read_bytes() for file in files]
        assert main(command) == 2
        assert before == [file.read_bytes() for file in files]
    learn = ['look', 'learn', 'cup.png', 'other.png', 'look.json']
    assert main([*learn, '--size', '64', '--iterations', '1']) == 0
    original = (work / 'cup.png').read_bytes()
    capsys.readouterr()
    assert main(['look', 'apply', 'look.json', 'cup.png', '--out', '.']) == 2
    assert 'but is read' in capsys.readouterr().err
    assert (work / 'cup.png').read_bytes() == original


@pytest.mark.slow
def test_batch_keeps_what_was_corrected(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (work / 'pairs.csv').write_text(
        'source,target,labels\ncup.png,other.png,mask.png\n'
    )
    command = ['batch', 'pairs.csv', '--out', 'out', '--json', *QUICK]
    assert main([*command, '--outputs', 'labels']) == 0
    folder = work / 'out' / 'cup-other'
    corrected = correct(folder / 'warped_labels.tif')
    capsys.readouterr()
    # Given again to go on, the pair is there and stays as it is.
    assert main([*command, '--outputs', 'labels']) == 0
    assert json.loads(capsys.readouterr().out)['skipped'] == 1
    for more in (['--anew'], ['--lambda-max', '.2']):
        assert main([*command, '--outputs', 'labels', *more]) == 2
        (failure,) = json.loads(capsys.readouterr().out)['failures']
        assert 'was changed or added' in failure['error']
    assert (folder / 'warped_labels.tif').read_bytes() == corrected
    # Neither does a file go that somebody put beside the results.
    (folder / 'warped_labels.tif').unlink()
    (folder / 'notes.txt').write_text('mine')
    assert main([*command, '--outputs', 'labels']) == 2
    assert (folder / 'notes.txt').read_text() == 'mine'
    (folder / 'notes.txt').unlink()
    assert main([*command, '--outputs', 'labels']) == 0
    (work / 'pairs.csv').write_text('source,target\ncup.png,other.png\n')
    capsys.readouterr()
    assert main([*command, '--outputs', 'labels']) == 2
    assert 'nothing to write' in capsys.readouterr().out


@pytest.mark.slow
def test_a_folder_of_targets_keeps_what_was_corrected(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, file in (
        ('images/cup.png', 'cup.png'),
        ('masks/cup.png', 'mask.png'),
        ('targets/one.png', 'other.png'),
        ('targets/two.png', 'cup.png'),
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(Path(file).read_bytes())
    command = ['batch', '--annotated', 'images', 'masks', '--targets']
    command += ['targets', '--out', 'out', '--json', '--size', '64']
    command += ['--window', '5', '--device', 'cpu']
    assert main(command) == 0
    # Stopped before the table was written, it goes on.
    (work / 'out' / 'ranking.csv').unlink()
    assert main(command) == 0
    corrected = correct(work / 'out' / 'one_labels.tif')
    (work / 'out' / 'two_labels.tif').unlink()
    capsys.readouterr()
    assert main(command) == 1
    rows = json.loads(capsys.readouterr().out)['worst_first']
    assert 'is kept' in rows[0]['error']
    assert (work / 'out' / 'one_labels.tif').read_bytes() == corrected
    assert imread(work / 'out' / 'two_labels.tif').any()


@pytest.mark.slow
def test_a_film_keeps_files_of_others_and_drops_its_own(
    work: Path, coffee: SamplePair, capsys: pytest.CaptureFixture[str]
) -> None:
    (work / 'film').mkdir()
    for number in range(3):
        imsave(f'film/f{number}.png', coffee.source[::2, ::2])
    imsave('half.png', coffee.labels[::2, ::2], check_contrast=False)
    command = ['propagate', 'film', '--labels', 'f0=half.png', '--fast']
    command += ['--size', '64', '--device', 'cpu', '--out', 'out']
    (work / 'out').mkdir()
    mine = work / 'out' / 'f2_labels.tif'
    mine.write_bytes(b'mine')
    assert main(command) == 2
    assert 'no run has written it' in capsys.readouterr().err
    assert mine.read_bytes() == b'mine'
    mine.unlink()
    assert main(command) == 0
    assert imread(mine).any()
    # A plane that is of no use now has no labels of the run before.
    blank = np.zeros_like(coffee.source[::2, ::2])
    imsave('film/f2.png', blank, check_contrast=False)
    # One frame has no labels.
    assert main(command) == 1
    assert not mine.exists()
    correct(work / 'out' / 'f1_labels.tif')
    assert main(command) == 2
