"""The command, from its arguments to its files, with the real network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_samnet.cli.arguments import (
    OneLineParser,
    add_match_options,
    read_match_options,
)
from napari_samnet.cli.main import main
from napari_samnet.correspondence import Correspondence
from napari_samnet.io.flo import read_flo
from napari_samnet.io.points_csv import read_points, write_points
from napari_samnet.options import MatchOptions
from napari_samnet.outputs.folder import FILES
from napari_samnet.outputs.written import NOTES, WrittenFiles

if TYPE_CHECKING:
    from napari_samnet.datasets.sample_pair import SamplePair

QUICK = [
    *('--size', '128', '--iterations', '2', '--device', 'cpu'),
    *('--orientation', 'upright'),
]

POINTS = np.array([[150.0, 200.0], [210.5, 99.25]])


@pytest.fixture(scope='module')
def files(
    coffee: SamplePair, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Files of a pair, as a user has them."""
    folder = tmp_path_factory.mktemp('pair')
    paths = {
        name: str(folder / f'{name}.png')
        for name in ('source', 'target', 'labels')
    }
    Image.fromarray(coffee.source).save(paths['source'])
    Image.fromarray(coffee.target).save(paths['target'])
    Image.fromarray(coffee.labels).save(paths['labels'])
    paths['points'] = str(folder / 'points.csv')
    write_points(paths['points'], POINTS)
    return paths


@pytest.fixture(scope='module')
def written(
    files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, SimpleNamespace]:
    """Folder of a run, and what it printed as ``stdout`` and ``stderr``."""
    folder = tmp_path_factory.mktemp('out') / 'new' / 'results'
    command = [
        *('transfer', files['source'], files['target']),
        *('--labels', files['labels'], '--points', files['points']),
        *('--out', str(folder), '--json', *QUICK),
    ]
    out, progress = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(progress):
        assert main(command) == 0
    run = SimpleNamespace(stdout=out.getvalue(), stderr=progress.getvalue())
    return folder, run


class TestTransfer:
    def test_writes_all_files_and_nothing_else(self, written) -> None:
        folder, _ = written
        names = {path.name for path in folder.iterdir()}
        assert names == {*FILES.values(), NOTES}
        assert [path.name for path in folder.parent.iterdir()] == ['results']

    def test_files_hold_what_was_found(self, written, coffee) -> None:
        folder, _ = written
        found = Correspondence.load(folder / 'correspondence.npz')
        np.testing.assert_array_equal(
            read_flo(folder / 'flow.flo'), found.flow
        )
        np.testing.assert_array_equal(
            tifffile.imread(folder / 'confidence.tif'), found.confidence
        )
        labels = tifffile.imread(folder / 'warped_labels.tif')
        assert labels.dtype == coffee.labels.dtype
        np.testing.assert_array_equal(
            labels, found.warp_labels(coffee.labels, image=coffee.target)
        )
        np.testing.assert_allclose(
            read_points(folder / 'warped_points.csv'),
            found.warp_points(POINTS),
        )
        with Image.open(folder / 'transferred.png') as image:
            np.testing.assert_array_equal(np.asarray(image), found.transferred)

    def test_prints_one_json_object(self, written) -> None:
        folder, run = written
        facts = json.loads(run.stdout)
        found = Correspondence.load(folder / 'correspondence.npz')
        assert 1 <= facts['iterations_used'] <= 2
        assert facts['seconds'] > 0
        assert facts['device'] == 'cpu'
        assert facts['precision'] in {'fp32', 'bf16', 'int8'}
        assert facts['mean_consistency_px'] == pytest.approx(
            found.mean_consistency()
        )
        assert facts['files'] == {
            key: str(folder / name) for key, name in FILES.items()
        }

    def test_shows_progress_on_standard_error(self, written) -> None:
        _, run = written
        assert '%' in run.stderr or '|' in run.stderr
        assert 'Traceback' not in run.stderr

    def test_labels_lie_on_the_object(self, written, coffee) -> None:
        folder, _ = written
        labels = tifffile.imread(folder / 'warped_labels.tif')
        found, true = labels > 0, coffee.target_labels > 0
        overlap = (found & true).sum() / (found | true).sum()
        assert overlap > 0.75

    def test_overview_is_a_picture(self, written) -> None:
        folder, _ = written
        with Image.open(folder / 'overview.png') as image:
            assert image.mode == 'RGB'
            assert min(image.size) > 500

    @pytest.mark.slow
    def test_without_labels_and_attributes_they_are_not_written(
        self, files, tmp_path, capsys
    ) -> None:
        (tmp_path / 'warped_labels.tif').write_bytes(b'of an earlier run')
        WrittenFiles(tmp_path).note('warped_labels.tif')
        (tmp_path / 'mine.txt').write_text('of the user')
        status = main(
            ['transfer', files['source'], files['target'], '--no-attributes']
            + ['--out', str(tmp_path), *QUICK]
        )
        assert status == 0
        assert {path.name for path in tmp_path.iterdir()} == {
            'confidence.tif',
            'correspondence.npz',
            'flow.flo',
            'mine.txt',
            'overview.png',
            NOTES,
        }
        lines = capsys.readouterr().out.splitlines()
        assert 'mean forward-backward error' in lines[0]
        assert str(tmp_path / 'flow.flo') in lines

    @pytest.mark.slow
    @pytest.mark.parametrize('dtype', ['bool', 'uint16', 'int64'])
    def test_label_dtype_is_kept(self, files, coffee, tmp_path, dtype) -> None:
        labels = (coffee.labels * 300.0).astype(dtype)
        np.save(tmp_path / 'labels.npy', labels)
        status = main(
            ['transfer', files['source'], files['target'], '--no-attributes']
            + ['--labels', str(tmp_path / 'labels.npy')]
            + ['--out', str(tmp_path / 'out'), *QUICK]
        )
        assert status == 0
        carried = tifffile.imread(tmp_path / 'out' / 'warped_labels.tif')
        # Few programs read 64 bits.
        expected = 'uint16' if dtype == 'int64' else dtype
        assert carried.dtype == expected
        assert set(np.unique(carried)) <= set(np.unique(labels))

    def test_interrupt_leaves_nothing(
        self, files, tmp_path, monkeypatch, capsys
    ) -> None:
        def press(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(
            'napari_samnet.cli.progress.MatchProgress.__call__', press
        )
        out = tmp_path / 'out'
        status = main(
            ['transfer', files['source'], files['target']]
            + ['--out', str(out), *QUICK]
        )
        assert status == 130
        assert list(tmp_path.iterdir()) == []
        assert capsys.readouterr().err.endswith('interrupted\n')

    def test_failed_writing_leaves_nothing(
        self, files, tmp_path, monkeypatch, capsys
    ) -> None:
        def fill(*_: object, **__: object) -> None:
            raise OSError(28, 'No space left on device')

        monkeypatch.setattr(
            'napari_samnet.outputs.overview.draw_overview', fill
        )
        status = main(
            ['transfer', files['source'], files['target'], '--no-attributes']
            + ['--out', str(tmp_path / 'out'), *QUICK]
        )
        assert status == 2
        assert list(tmp_path.iterdir()) == []
        assert 'No space left' in capsys.readouterr().err


def _stack(folder: Path) -> Path:
    path = folder / 'stack.tif'
    tifffile.imwrite(
        path, np.zeros((5, 40, 50), np.uint8), metadata={'axes': 'ZYX'}
    )
    return path


def _text(folder: Path) -> Path:
    path = folder / 'text.png'
    path.write_text('no picture at all')
    return path


def _cut(folder: Path) -> Path:
    path = folder / 'cut.png'
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    return path


def _array(name: str, array: np.ndarray):
    def make(folder: Path) -> Path:
        np.save(folder / name, array)
        return folder / name

    return make


class TestBadInput:
    """One clear line, status 2, nothing written."""

    @pytest.fixture
    def refused(self, files, tmp_path, capsys):
        def refuse(*changes: str, **paths: str) -> str:
            given = {**files, **paths}
            out = tmp_path / 'out'
            command = ['transfer', given['source'], given['target']]
            command += ['--out', given.get('out', str(out)), *QUICK]
            before = sorted(tmp_path.iterdir())
            try:
                status = main([*command, *changes])
            except SystemExit as end:
                status = end.code
            assert status == 2
            printed = capsys.readouterr()
            assert printed.out == ''
            lines = [
                line
                for line in printed.err.splitlines()
                if line.startswith('napari-samnet')
            ]
            assert len(lines) == 1
            assert 'Traceback' not in printed.err
            assert sorted(tmp_path.iterdir()) == before
            return lines[0]

        return refuse

    def test_missing_file(self, refused) -> None:
        assert 'there is no file nowhere.png' in refused(source='nowhere.png')

    def test_a_name_that_begins_like_an_option(
        self, refused, tmp_path, monkeypatch
    ) -> None:
        (tmp_path / '-a.png').touch()
        monkeypatch.chdir(tmp_path)
        said = refused(source='-a.png')
        assert '-a.png is taken for an option; write ./-a.png' in said

    @pytest.mark.parametrize(
        ('words', 'says'),
        [
            (['--lables', 'm.png'], 'did you mean --labels?'),
            (['--lables=m.png'], 'did you mean --labels?'),
            (['more.png'], 'unrecognized arguments: more.png (see napari'),
            (['--zzz'], 'unrecognized arguments: --zzz (see napari'),
        ],
    )
    def test_words_that_it_does_not_know(self, refused, words, says) -> None:
        line = refused(*words)
        assert says in line
        assert '(see napari-samnet transfer --help)' in line

    @pytest.mark.parametrize('flag', ['--region', '--target-leave-out'])
    def test_a_mask_is_called_by_its_flag(
        self, refused, tmp_path, coffee, flag
    ) -> None:
        Image.fromarray(coffee.source).save(tmp_path / 'photo.png')
        line = refused(flag, str(tmp_path / 'photo.png'))
        assert f'mask of {flag}: ' in line
        assert 'labels' not in line

    def test_folder(self, refused, tmp_path) -> None:
        assert 'is a folder' in refused(target=str(tmp_path))

    @pytest.mark.parametrize(
        ('make', 'says'),
        [
            (_text, 'no known format'),
            (_cut, 'cannot be read'),
            (_stack, 'stack of 5 planes'),
            (_array('stack.npy', np.zeros((9, 40, 50))), '2-D image'),
            (_array('complex.npy', np.ones((9, 9), complex)), 'complex'),
            (_array('empty.npy', np.ones((0, 9))), 'at least one pixel'),
            (_array('object.npy', np.array([None])), 'cannot be read'),
        ],
        ids=lambda value: getattr(value, '__name__', None),
    )
    @pytest.mark.parametrize('side', ['source', 'target'])
    def test_not_an_image(self, refused, tmp_path, side, make, says) -> None:
        line = refused(**{side: str(make(tmp_path))})
        assert says in line
        assert side in line

    @pytest.mark.parametrize(
        ('labels', 'says'),
        [
            (np.zeros((40, 50), np.uint8), '(400, 600)'),
            (np.full((400, 600), 0.5), 'whole numbers'),
            (np.ones((400, 600, 5), np.uint8) * range(5), 'one number per'),
        ],
        ids=['shape', 'float', 'channels'],
    )
    def test_unusable_labels(self, refused, tmp_path, labels, says) -> None:
        path = _array('labels.npy', labels)(tmp_path)
        assert says in refused('--labels', str(path))

    @pytest.mark.parametrize(
        ('flags', 'says'),
        [
            ('--window 8', 'window must be odd'),
            ('--window 25', 'window must be from 3 to 21'),
            ('--window 11 --size 64', '8x8 cells'),
            ('--size 100', 'multiple of 32'),
            ('--size 2048', 'size must be from 64 to 1024'),
            ('--iterations 0', 'iterations must be from 1 to 20'),
            ('--iterations many', 'many'),
            ('--device toaster', 'toaster'),
            ('--weights nothing', 'nothing'),
            ('--no-such-flag', '--no-such-flag'),
        ],
    )
    def test_unusable_options(self, refused, flags, says) -> None:
        assert says in refused(*flags.split())

    def test_corrupt_weights(self, refused, tmp_path) -> None:
        path = tmp_path / 'broken.safetensors'
        path.write_bytes(b'\x10' * 300)
        assert 'broken.safetensors' in refused('--weights', str(path))

    def test_cuda_asked_for_and_absent(self, refused) -> None:
        import torch

        if torch.cuda.is_available():
            pytest.skip('there is CUDA')
        assert 'cuda' in refused('--device', 'cuda').lower()

    def test_results_cannot_go_into_a_file(self, refused, tmp_path) -> None:
        path = tmp_path / 'file'
        path.touch()
        assert 'expected a folder' in refused(out=str(path / 'deeper'))


def test_flags_are_the_parameters_of_match() -> None:
    parser = OneLineParser()
    add_match_options(parser)
    assert read_match_options(parser.parse_args([])) == MatchOptions()
    words = '--window 11 --no-attributes --lambda-max 0.5 --init identity'
    assert read_match_options(
        parser.parse_args(words.split())
    ) == MatchOptions(
        window=11, attributes=False, lambda_max=0.5, init='identity'
    )


@pytest.mark.parametrize(
    'command', ['', 'transfer', 'demo', 'info', 'benchmark', 'train']
)
def test_help(command: str, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command.split(), '--help'])
    assert end.value.code == 0
    assert 'usage: napari-samnet' in capsys.readouterr().out


def test_no_command_is_an_error(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_info(capsys) -> None:
    assert main(['info']) == 0
    text = capsys.readouterr().out
    for word in ('torch', 'samnet', 'SHA-256', 'cpu'):
        assert word in text


def test_info_as_json(capsys) -> None:
    assert main(['info', '--json']) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts['packages']['torch']
    assert facts['devices']['available'][0] == 'cpu'
    assert len(facts['weights']['samnet']['sha256']) == 64
    assert next(iter(facts['weights'])) == 'samnet'


def test_a_folder_without_a_name_is_not_this_one(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(['transfer', 'a.png', 'b.png', '--out', '']) == 2
    assert 'the folder for results has no name' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


class TestDemo:
    @pytest.mark.slow
    def test_headless_writes_the_overview(self, tmp_path, capsys) -> None:
        out = tmp_path / 'new'
        status = main(
            ['demo', '--headless', '--pair', 'cat', '--out', str(out)]
        )
        assert status == 0
        path = Path(capsys.readouterr().out.strip())
        assert path == out / 'overview.png'
        assert {each.name for each in out.iterdir()} == {path.name, NOTES}
        with Image.open(path) as image:
            image.load()

    @pytest.mark.slow
    def test_no_display_means_headless(
        self, tmp_path, monkeypatch, capsys
    ) -> None:
        for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(sys, 'platform', 'linux')
        monkeypatch.chdir(tmp_path)
        assert main(['demo', '--pair', 'cat']) == 0
        assert (tmp_path / 'overview.png').is_file()
        assert 'there is no display' in capsys.readouterr().err

    def test_a_picture_of_the_user_stays(self, tmp_path, capsys) -> None:
        file = tmp_path / 'overview.png'
        file.write_bytes(b'mine')
        words = ['demo', '--headless', '--pair', 'cat', '--out', str(tmp_path)]
        assert main(words) == 2
        assert 'no run has written it' in capsys.readouterr().err
        assert file.read_bytes() == b'mine'

    def test_unknown_pair(self, tmp_path, capsys) -> None:
        status = main(
            ['demo', '--headless', '--pair', 'x', '--out', str(tmp_path)]
        )
        assert status == 2
        assert 'coffee' in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []


def test_points_and_landmarks_that_lie_elsewhere_are_told(
    tmp_path, capsys
) -> None:
    image = tmp_path / 'a.png'
    Image.fromarray(
        np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    ).save(image)
    for name, row in (('in', 20), ('out', 900)):
        (tmp_path / f'{name}.csv').write_text(f'row,column\n{row},30\n')
    (tmp_path / 'none.csv').write_text('row,column\n')

    def told(*flags: str) -> str:
        arguments = ['transfer', str(image), str(image), *flags]
        quick = ['--size', '64', '--iterations', '1', '--outputs', 'flow']
        assert main([*arguments, *quick, '--out', str(tmp_path / 'o')]) == 0
        return capsys.readouterr().err

    inside, outside, none = (
        str(tmp_path / f'{name}.csv') for name in ('in', 'out', 'none')
    )
    said = '1 of 1 points of out.csv lies outside a.png, which has 50 rows'
    assert said in told('--points', outside)
    assert said in told('--landmarks', inside, outside)
    assert 'outside' not in told('--points', inside)
    assert 'none.csv holds no point' in told('--points', none)


PRESSED = """
import os, signal, sys

# Tests may run in the background, where shells ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

def press(event, arguments):
    if event == 'import' and arguments[0] == {module!r}:
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(press)
from napari_samnet.cli.main import main

sys.exit(main(['info']))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != 'posix', reason='sends itself a signal')
@pytest.mark.parametrize('module', ['argparse', 'numpy', 'torch._C'])
def test_interrupted_from_the_first_moment_on(module: str) -> None:
    ended = subprocess.run(
        [sys.executable, '-c', PRESSED.format(module=module)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.stderr == 'napari-samnet: interrupted\n'
    assert ended.returncode == 130
    assert ended.stdout == ''
