"""Commands for a correspondence that was saved."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_samnet.cli.main import main
from napari_samnet.correspondence import Correspondence
from napari_samnet.io.flo import read_flo
from napari_samnet.io.formats.names import FORMATS
from napari_samnet.io.label_files import read_label_picture, read_labels
from napari_samnet.io.points_csv import read_points, write_points
from napari_samnet.outputs.export import ENDINGS

SOURCE, TARGET = (40, 60), (32, 60)
RNG = np.random.default_rng(0)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Everything moves by a quarter of the width to the right."""
    shift = np.zeros((4, 6, 2), np.float32)
    shift[..., 1] = 0.25
    sure = np.ones((4, 6), np.float32)
    sure[:2] = 0.5
    path = tmp_path / 'c.npz'
    Correspondence(
        forward=shift,
        backward=-shift,
        forward_cell_confidence=sure,
        backward_cell_confidence=sure,
        source_shape=SOURCE,
        target_shape=TARGET,
    ).save(path)
    return path


LABELS = np.zeros(SOURCE, np.uint8)
LABELS[10:30, 5:25] = 4
LABELS[10:30, 25:40] = 200


class TestApply:
    def test_to_any_other_file_of_the_grid(
        self, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        channel = RNG.integers(0, 60_000, SOURCE, np.uint16)
        tifffile.imwrite(tmp_path / 'other channel.tif', channel)
        heat = RNG.random(SOURCE, np.float32)
        np.save(tmp_path / 'heat.npy', heat)
        color = Image.fromarray(LABELS)
        color.putpalette(RNG.integers(0, 256, 768, np.uint8).tobytes())
        color.save(tmp_path / 'ids.png')
        write_points(tmp_path / 'p.csv', np.array([[10.0, 20.0]]))
        (tmp_path / 'bad.tif').write_bytes(b'II*\0')
        names = ('other channel.tif', 'heat.npy', 'ids.png', 'p.csv')
        out = tmp_path / 'out'
        status = main(
            [
                'apply',
                str(saved),
                str(tmp_path / 'bad.tif'),
                *(str(tmp_path / name) for name in names),
                '--out',
                str(out),
                '--json',
            ]
        )
        assert status == 1
        printed = capsys.readouterr()
        facts = json.loads(printed.out)
        assert len(facts['files']) == 4
        assert 'bad.tif' in printed.err
        (failure,) = facts['failures'].values()
        assert 'cannot be read' in failure
        moved = tifffile.imread(out / 'other channel-warped.tif')
        assert moved.dtype == np.uint16
        assert moved.shape == TARGET
        found = Correspondence.load(saved)
        np.testing.assert_array_equal(
            moved, found.warp_image(channel, to='target')
        )
        moved = tifffile.imread(out / 'heat-warped.tif')
        assert moved.dtype == np.float32
        read = read_label_picture(out / 'ids-warped.tif')
        np.testing.assert_array_equal(read.labels, found.warp_labels(LABELS))
        assert read.colors is not None
        np.testing.assert_allclose(
            read_points(out / 'p-warped.csv'),
            found.warp_points(np.array([[10.0, 20.0]])),
        )

    @pytest.mark.parametrize('kind', FORMATS)
    def test_labels_of_other_programs(
        self, kind: str, saved: Path, tmp_path: Path
    ) -> None:
        tifffile.imwrite(tmp_path / 'ids.tif', LABELS)
        arguments = ['apply', str(saved), '--out', str(tmp_path / 'out')]
        first = [str(tmp_path / 'ids.tif'), '--as', 'labels']
        assert main([*arguments, *first, '--labels-as', kind]) == 0
        made = tmp_path / 'out' / f'ids-warped{FORMATS[kind]}'
        assert made.exists()
        expected = Correspondence.load(saved).warp_labels(LABELS)
        back = [str(made), '--from', 'target', '--out', str(tmp_path / 'back')]
        assert main(['apply', str(saved), *back]) == 0
        (path,) = (tmp_path / 'back').glob('*.tif')
        returned = Correspondence.load(saved).inverse().warp_labels(expected)
        np.testing.assert_array_equal(read_labels(path), returned)

    def test_unsure_labels_are_left_out(
        self, saved: Path, tmp_path: Path
    ) -> None:
        tifffile.imwrite(tmp_path / 'ids.tif', LABELS)
        main(
            [
                *('apply', str(saved), str(tmp_path / 'ids.tif')),
                *('--as', 'labels', '--min-confidence', '0.9'),
                *('--out', str(tmp_path)),
            ]
        )
        labels = read_labels(tmp_path / 'ids-warped.tif')
        assert not labels[:12].any()
        assert labels[20:].any()

    def test_all_pages_of_a_stack(self, saved: Path, tmp_path: Path) -> None:
        stack = RNG.integers(0, 99, (5, *SOURCE), np.uint8)
        path = tmp_path / 'stack.tif'
        tifffile.imwrite(path, stack, photometric='minisblack')
        arguments = ['apply', str(saved), str(path), '--out', str(tmp_path)]
        assert main(arguments) == 2
        assert main([*arguments, '--page', 'all']) == 0
        moved = tifffile.imread(tmp_path / 'stack-warped.tif')
        assert moved.shape == (5, *TARGET)
        assert main([*arguments, '--page', '2']) == 0
        one = tifffile.imread(tmp_path / 'stack-warped.tif')
        np.testing.assert_array_equal(one, moved[2])

    def test_one_channel_alone(self, saved: Path, tmp_path: Path) -> None:
        pixels = RNG.integers(0, 99, (*SOURCE, 3), np.uint8)
        tifffile.imwrite(tmp_path / 'c.tif', pixels, photometric='rgb')
        arguments = ['apply', str(saved), str(tmp_path / 'c.tif')]
        assert main([*arguments, '--out', str(tmp_path)]) == 0
        all_of_them = tifffile.imread(tmp_path / 'c-warped.tif')
        one = ['--channel', '1', '--out', str(tmp_path)]
        assert main([*arguments, *one]) == 0
        np.testing.assert_array_equal(
            tifffile.imread(tmp_path / 'c-warped.tif'), all_of_them[..., 1]
        )

    @pytest.mark.parametrize(
        ('more', 'says'),
        [
            (['--page', 'x'], '--page must be'),
            (['--page', '0,1'], 'one number for all'),
            (['--labels-as', 'voc'], '--labels-as must name'),
            (['--min-confidence', '2'], 'from 0 to 1'),
        ],
    )
    def test_wrong_words(
        self,
        more: list[str],
        says: str,
        saved: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        arguments = ['apply', str(saved), 'a.png', '--out', str(tmp_path)]
        assert main([*arguments, *more]) == 2
        assert says in capsys.readouterr().err

    def test_another_grid_is_refused(
        self,
        saved: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        tifffile.imwrite(tmp_path / 'a.tif', np.zeros((9, 9), np.uint8))
        arguments = ['apply', str(saved), str(tmp_path / 'a.tif')]
        for kind in ('image', 'labels'):
            out = ['--out', str(tmp_path), '--as', kind]
            assert main([*arguments, *out]) == 2
            said = capsys.readouterr().err
            assert 'a.tif' in said
            assert '(40, 60)' in said


class TestInvert:
    def test_swaps_both(self, saved: Path, tmp_path: Path) -> None:
        once, twice = tmp_path / 'once.npz', tmp_path / 'twice.npz'
        assert main(['invert', str(saved), str(once)]) == 0
        assert main(['invert', str(once), str(twice)]) == 0
        found = Correspondence.load(saved)
        swapped, back = map(Correspondence.load, (once, twice))
        assert swapped.source_shape == TARGET
        np.testing.assert_array_equal(swapped.flow, found.backward_flow)
        np.testing.assert_array_equal(back.flow, found.flow)
        assert swapped.metadata['inverse'] is True
        assert back.metadata['inverse'] is False
        points = RNG.random((5, 2)) * 20
        np.testing.assert_allclose(
            swapped.warp_points(points), found.warp_points(points, to='source')
        )


class TestFilesOfTheUser:
    @pytest.mark.parametrize(
        ('command', 'name'), [('invert', 'b.npz'), ('export', 'b.npy')]
    )
    def test_are_not_overwritten(
        self,
        saved: Path,
        tmp_path: Path,
        command: str,
        name: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        file = tmp_path / name
        file.write_bytes(b'mine')
        words = [command, str(saved), str(file)]
        assert main(words) == 2
        said = capsys.readouterr().err
        assert 'no run has written it: move it away, or choose another' in said
        assert file.read_bytes() == b'mine'
        file.unlink()
        # What the command wrote itself gives way, until it is changed.
        assert main(words) == main(words) == 0
        file.write_bytes(b'changed')
        assert main(words) == 2
        assert file.read_bytes() == b'changed'

    def test_nor_what_is_read(self, saved: Path) -> None:
        before = saved.read_bytes()
        assert main(['invert', str(saved), str(saved)]) == 2
        assert saved.read_bytes() == before


class TestExport:
    def test_flow(self, saved: Path, tmp_path: Path) -> None:
        found = Correspondence.load(saved)
        for name in ('a.flo', 'a.npy'):
            assert main(['export', str(saved), str(tmp_path / name)]) == 0
        np.testing.assert_array_equal(read_flo(tmp_path / 'a.flo'), found.flow)
        np.testing.assert_array_equal(np.load(tmp_path / 'a.npy'), found.flow)
        path = str(tmp_path / 'b.flo')
        assert main(['export', str(saved), path, '--grid', 'target']) == 0
        np.testing.assert_array_equal(read_flo(path), found.backward_flow)

    def test_another_ending_is_refused(
        self, saved: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(['export', str(saved), 'a.txt']) == 2
        assert 'must end with' in capsys.readouterr().err

    @pytest.mark.slow
    @pytest.mark.filterwarnings('ignore::DeprecationWarning')
    def test_itk_applies_it(self, saved: Path, tmp_path: Path) -> None:
        itk = pytest.importorskip('itk')
        found = Correspondence.load(saved)
        field, transform = tmp_path / 'field.mha', tmp_path / 'field.h5'
        for path in (field, transform):
            assert main(['export', str(saved), str(path)]) == 0
        vectors = itk.array_from_image(itk.imread(str(field)))
        np.testing.assert_array_equal(vectors[..., ::-1], found.backward_flow)
        (moved,) = itk.transformread(str(transform))
        for row, column in ((5, 30), (20, 45)):
            x, y = moved.TransformPoint([float(column), float(row)])
            expected = found.warp_points([[row, column]], to='source')[0]
            np.testing.assert_allclose((y, x), expected, atol=1e-4)


#: Exports one field to every kind of file, none of which may grow beyond
#: 4 kB, as on a full disk, and prints the status of each.
_WITHOUT_ROOM = """
import resource, sys
from napari_samnet.cli.main import main
from napari_samnet.outputs.export import ENDINGS
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for ending in ENDINGS:
    print(ending, main(['export', sys.argv[1], sys.argv[2] + ending]))
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='has no such limit')
def test_a_field_that_finds_no_room_leaves_no_file(
    saved: Path, tmp_path: Path
) -> None:
    """ITK does not tell that of every kind of file."""
    pytest.importorskip('itk')
    shift = RNG.normal(0, 0.1, (40, 60, 2)).astype(np.float32)
    sure = np.ones((40, 60), np.float32)
    Correspondence(
        forward=shift,
        backward=shift,
        forward_cell_confidence=sure,
        backward_cell_confidence=sure,
        source_shape=SOURCE,
        target_shape=TARGET,
    ).save(saved)
    folder = tmp_path / 'out'
    folder.mkdir()
    done = subprocess.run(
        [
            *(sys.executable, '-c', _WITHOUT_ROOM),
            *(str(saved), str(folder / 'field')),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    statuses = dict(line.split() for line in done.stdout.splitlines())
    assert statuses == dict.fromkeys(ENDINGS, '2')
    assert done.stderr.count('napari-samnet: cannot write') == len(ENDINGS)
    assert 'Traceback' not in done.stderr
    assert not list(folder.iterdir())


def test_a_header_names_its_file_of_numbers(
    saved: Path, tmp_path: Path
) -> None:
    itk = pytest.importorskip('itk')
    file = tmp_path / 'field.mhd'
    assert main(['export', str(saved), str(file)]) == 0
    assert (tmp_path / 'field.raw').is_file()
    moved = tmp_path / 'elsewhere'
    moved.mkdir()
    for name in ('field.mhd', 'field.raw'):
        (tmp_path / name).rename(moved / name)
    read = itk.array_from_image(itk.imread(str(moved / 'field.mhd')))
    flow = Correspondence.load(saved).backward_flow
    np.testing.assert_allclose(read, flow[..., ::-1])


@pytest.mark.skipif(
    not Path('/proc/self').is_dir(), reason='has no folder of the system'
)
@pytest.mark.parametrize('ending', ['npy', 'h5', 'mha'])
def test_a_folder_that_takes_nothing_is_said_in_one_line(
    ending: str, saved: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if ending != 'npy':
        pytest.importorskip('itk')
    assert main(['export', str(saved), f'/proc/field.{ending}']) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith('napari-samnet: cannot write')


def test_points_that_lie_elsewhere_are_told(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_points(tmp_path / 'p.csv', np.array([[10.0, 20.0], [4000.0, 20.0]]))
    out = ['--out', str(tmp_path / 'out')]
    assert main(['apply', str(saved), str(tmp_path / 'p.csv'), *out]) == 0
    told = capsys.readouterr().err
    assert '1 of 2 points of p.csv lies outside the grid of the match' in told
