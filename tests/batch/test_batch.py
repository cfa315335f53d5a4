"""Many pairs in one run: what is written, left out, listed and resumed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_samnet.batch.pairs import read_pairs
from napari_samnet.batch.record import RECORD, read_record
from napari_samnet.cli.main import main
from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.io.points_csv import read_points, write_points
from napari_samnet.matching.match import match
from napari_samnet.options import MatchOptions
from napari_samnet.outputs.folder import FILES
from napari_samnet.outputs.written import NOTES

if TYPE_CHECKING:
    from napari_samnet.datasets.sample_pair import SamplePair

#: A match that takes a fraction of a second, and few files.
QUICK = [
    *('--size', '64', '--window', '5', '--iterations', '1'),
    *('--orientation', 'upright'),
    *('--device', 'cpu', '--precision', 'fp32', '--no-attributes'),
]
FEW = ['--outputs', 'labels,points,correspondence']

SIDE = 96


@pytest.fixture
def folder(tmp_path: Path, coffee: SamplePair) -> Path:
    """A source with labels and points, and eight targets."""
    data = tmp_path / 'data'
    data.mkdir()

    def small(array: np.ndarray) -> Image.Image:
        nearest = Image.Resampling.NEAREST
        return Image.fromarray(array).resize((SIDE, SIDE), nearest)

    small(coffee.source).save(data / 'source.png')
    small(coffee.labels).save(data / 'labels.png')
    for number in range(8):
        shifted = np.roll(coffee.target, 9 * number, axis=1)
        small(shifted).save(data / f'target{number}.png')
    (data / 'broken.png').write_bytes(b'\x89PNG\r\n\x1a\nno more')
    write_points(data / 'points.csv', np.array([[40.0, 50.5], [20, 30]]))
    return data


def listed(folder: Path, rows: list[str], head: str = '') -> str:
    """A list of pairs in a file."""
    path = folder / 'pairs.csv'
    path.write_text('\n'.join([head or 'source,target,labels', *rows]) + '\n')
    return str(path)


def eight(folder: Path) -> str:
    """Eight pairs of one source."""
    return listed(
        folder,
        [f'source.png,target{k}.png,labels.png' for k in range(8)],
    )


def command(table: str, out: Path, *more: str) -> list[str]:
    """A run in a process of its own."""
    return [
        *(sys.executable, '-m', 'napari_samnet', 'batch', table),
        *('--out', str(out), '--json', *QUICK, *FEW, *more),
    ]


@contextmanager
def started(*args: Any) -> Iterator[subprocess.Popen[str]]:
    """The same, not waited for, with a process group of its own."""
    with subprocess.Popen(
        command(*args),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background, it is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    """Run in this process; the JSON object, and the status as 'status'."""
    status = main(['batch', *args, '--json', *QUICK, *FEW])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return {**found, 'status': status}


def complete(out: Path) -> list[str]:
    """Names of the pairs that are there, each of them whole."""
    names = []
    for path in sorted(out.iterdir()):
        if path.is_dir() and not path.name.startswith('.'):
            record = read_record(path)
            assert record is not None, path
            sizes = {
                file.name: file.stat().st_size
                for file in path.iterdir()
                if file.name != RECORD
            }
            known = record['files'].items()
            assert sizes == {name: about['size'] for name, about in known}
            names.append(path.name)
    return names


def read_record_options(folder: Path) -> MatchOptions:
    """Options that a pair was matched with."""
    record = read_record(folder)
    assert record is not None
    return MatchOptions(**record['options'])


def alive(pid: int) -> bool:
    """Whether a process has not ended."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return (
        Path(f'/proc/{pid}/stat').read_text().split(')')[1].split()[0] != 'Z'
    )


def waited(condition: Any, seconds: float = 400) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


class TestOneProcess:
    @pytest.mark.slow
    def test_writes_what_transfer_writes(
        self, folder: Path, tmp_path: Path, capsys
    ) -> None:
        table = listed(
            folder,
            ['source.png,target1.png,labels.png,points.csv'],
            'source,target,mask,points',
        )
        out = tmp_path / 'out'
        assert main(['batch', table, '--out', str(out), *QUICK]) == 0
        text = capsys.readouterr().out
        assert '1 pairs: 1 done, 0 were there, 0 failed' in text
        names = {path.name for path in (out / 'source-target1').iterdir()}
        assert (
            main(
                [
                    *('transfer', str(folder / 'source.png')),
                    *(
                        str(folder / 'target1.png'),
                        '--out',
                        str(tmp_path / 't'),
                    ),
                    *('--labels', str(folder / 'labels.png')),
                    *('--points', str(folder / 'points.csv'), *QUICK),
                ]
            )
            == 0
        )
        assert names - {RECORD} == {
            path.name
            for path in (tmp_path / 't').iterdir()
            if path.name != NOTES
        }
        for key in ('flow', 'warped_labels', 'warped_points'):
            one, other = (
                (at / FILES[key]).read_bytes()
                for at in (out / 'source-target1', tmp_path / 't')
            )
            assert one == other

    @pytest.mark.slow
    def test_a_shared_source_is_encoded_once(
        self, folder: Path, tmp_path: Path, capsys
    ) -> None:
        from napari_samnet.runtime.feature_cache import FEATURES

        FEATURES.clear()
        out = tmp_path / 'out'
        found = run(capsys, eight(folder), '--out', str(out))
        assert found['done'] == 8
        # Eight targets and the source.
        assert found['images_encoded'] == 9
        assert found['pairs_per_second'] > 0

    @pytest.mark.slow
    def test_failures_are_listed_and_stop_nothing(
        self, folder: Path, tmp_path: Path, capsys
    ) -> None:
        table = listed(
            folder,
            [
                'source.png,broken.png,labels.png',
                'source.png,missing.png,labels.png',
                'source.png,target1.png,labels.png',
                'source.png,target2.png,broken.png',
            ],
        )
        out = tmp_path / 'out'
        found = run(capsys, table, '--out', str(out))
        assert found['status'] == 1
        assert complete(out) == ['source-target1']
        with open(out / 'failures.csv', newline='') as file:
            rows = {row['name']: row['error'] for row in csv.DictReader(file)}
        assert rows.keys() == {
            'source-broken',
            'source-missing',
            'source-target2',
        }
        assert 'there is no file' in rows['source-missing']
        with open(out / 'summary.csv', newline='') as file:
            (row,) = csv.DictReader(file)
        assert row['name'] == 'source-target1'
        assert float(row['mean_confidence']) > 0
        # Once the files are put right, the rest is done and the list goes.
        Image.open(folder / 'target3.png').save(folder / 'broken.png')
        Image.open(folder / 'target4.png').save(folder / 'missing.png')
        found = run(capsys, table, '--out', str(out))
        assert (found['skipped'], found['done']) == (1, 2)
        assert 'source-target2' in (out / 'failures.csv').read_text()
        Image.open(folder / 'labels.png').save(folder / 'broken.png')
        found = run(capsys, table, '--out', str(out))
        assert found['status'] == 0
        assert not (out / 'failures.csv').exists()

    def test_tables_with_notes_of_the_user_stay(
        self, folder: Path, tmp_path: Path, capsys
    ) -> None:
        table = listed(
            folder,
            [
                'source.png,target1.png,labels.png',
                'source.png,missing.png,labels.png',
            ],
        )
        out = tmp_path / 'out'
        command = ['batch', table, '--out', str(out), *QUICK, *FEW]
        assert main(command) == 1
        for name in ('summary.csv', 'failures.csv'):
            file = out / name
            before = file.read_bytes()
            file.write_bytes(before + b'looked at, fine\n')
            capsys.readouterr()
            assert main(command) == 2
            said = f'{name} was changed after it was written: move it away'
            assert said in capsys.readouterr().err
            assert file.read_bytes() == before + b'looked at, fine\n'
            assert not (out / '.unfinished').exists()
            file.write_bytes(before)
        # A table of the user's own, where no run has been.
        other = tmp_path / 'other'
        other.mkdir()
        for name in ('failures.csv', 'summary.csv'):
            (other / name).write_text('mine')
            where = ['--out', str(other)]
            assert main(['batch', table, *where, *QUICK, *FEW]) == 2
            assert 'no run has written it' in capsys.readouterr().err
            assert [path.name for path in other.iterdir()] == [name]
            assert (other / name).read_text() == 'mine'
            (other / name).unlink()

    @pytest.mark.slow
    def test_only_what_changed_is_done_again(
        self, folder: Path, tmp_path: Path, capsys
    ) -> None:
        table = listed(
            folder,
            [f'source.png,target{k}.png,labels.png' for k in range(3)],
        )
        where = [table, '--out', str(tmp_path / 'out')]
        assert run(capsys, *where)['done'] == 3
        assert run(capsys, *where)['done'] == 0
        assert run(capsys, *where, '--anew')['done'] == 3
        # A copy with another time is the same file.
        os.utime(folder / 'target1.png', (1, 1))
        assert run(capsys, *where)['done'] == 0
        Image.open(folder / 'target5.png').save(folder / 'target1.png')
        assert run(capsys, *where)['done'] == 1
        (tmp_path / 'out' / 'source-target0' / 'warped_labels.tif').unlink()
        assert run(capsys, *where)['done'] == 1
        assert run(capsys, *where, '--lambda-max', '0.2')['done'] == 3
        assert run(capsys, *where, '--lambda-max', '0.2')['skipped'] == 3
        assert len(complete(tmp_path / 'out')) == 3

    @pytest.mark.slow
    def test_takes_one_page_and_channel_of_each(
        self, folder: Path, tmp_path: Path, capsys
    ) -> None:
        source = np.asarray(Image.open(folder / 'source.png'))
        labels = np.asarray(Image.open(folder / 'labels.png'))
        tifffile.imwrite(
            folder / 'stack.tif',
            np.stack([source[::-1], source]),
            photometric='rgb',
        )
        tifffile.imwrite(
            folder / 'masks.tif',
            np.stack([labels[::-1], labels]),
            photometric='minisblack',
        )
        table = listed(folder, ['stack.tif,target0.png,masks.tif'])
        out = tmp_path / 'out'
        refused = run(capsys, table, '--out', str(out))
        assert 'choose a page from 0 to 1' in refused['failures'][0]['error']
        pages = ['--page', '1,0', '--channel', '0,1']
        assert run(capsys, table, '--out', str(out), *pages)['done'] == 1
        (name,) = complete(out)
        held = Correspondence.load(out / name / 'correspondence.npz')
        target = np.asarray(Image.open(folder / 'target0.png'))
        expected = match(
            source[..., 0],
            target[..., 1],
            labels=labels,
            **asdict(read_record_options(out / name)),
        )
        np.testing.assert_array_equal(held.flow, expected.flow)
        np.testing.assert_array_equal(
            held.warped_labels, expected.warped_labels
        )
        # The same page is there, another one is not.
        assert run(capsys, table, '--out', str(out), *pages)['skipped'] == 1
        pages[1] = '0,0'
        assert run(capsys, table, '--out', str(out), *pages)['done'] == 1

    def test_a_folder_of_the_user_is_left_alone(
        self, folder: Path, tmp_path: Path, capsys
    ) -> None:
        mine = tmp_path / 'out' / 'source-target0'
        mine.mkdir(parents=True)
        (mine / 'notes.txt').write_text('mine')
        found = run(capsys, eight(folder), '--out', str(tmp_path / 'out'))
        assert [f['name'] for f in found['failures']] == ['source-target0']
        assert (mine / 'notes.txt').read_text() == 'mine'
        assert found['done'] == 7

    @pytest.mark.slow
    def test_needs_no_dask(self, folder: Path, tmp_path: Path) -> None:
        table = listed(folder, ['source.png,target0.png,labels.png'])
        script = (
            'import sys\n'
            'for name in ("dask", "distributed"):\n'
            '    sys.modules[name] = None\n'
            'from napari_samnet.cli.main import main\n'
            f'sys.exit(main({command(table, tmp_path / "out")[3:]!r}))\n'
        )
        done = subprocess.run(
            [sys.executable, '-c', script],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)['done'] == 1

    def test_two_runs_do_not_share_a_folder(
        self, folder: Path, tmp_path: Path, capsys
    ) -> None:
        from napari_samnet.batch.run import locked_folder

        pytest.importorskip('fcntl')
        with locked_folder(tmp_path / 'out'):
            status = main(
                ['batch', eight(folder), '--out', str(tmp_path / 'out')]
            )
        assert status == 2
        assert 'another batch is writing' in capsys.readouterr().err


class TestList:
    @pytest.mark.parametrize(
        ('text', 'coding'),
        [
            ('source;target;labels\r\na b.png;ü.png;c.png\r\n', 'utf-8-sig'),
            ('Source\tTarget\tMask\na b.png\tü.png\tc.png\n', 'utf-16'),
            ('TARGET , Source, Labels\nü.png , a b.png,c.png\n,,\n', 'utf-8'),
        ],
    )
    def test_as_spreadsheets_write_it(
        self, tmp_path: Path, text: str, coding: str
    ) -> None:
        table = tmp_path / 'pairs.csv'
        table.write_bytes(text.encode(coding))
        (pair,) = read_pairs(table, tmp_path)
        assert pair.name == 'a b-ü'
        assert pair.source == tmp_path / 'a b.png'
        assert pair.target == tmp_path / 'ü.png'
        assert pair.labels == tmp_path / 'c.png'

    @pytest.mark.parametrize('coding', ['latin-1', 'cp1252'])
    def test_another_coding_is_one_clear_error(
        self, tmp_path: Path, capsys, coding: str
    ) -> None:
        table = tmp_path / 'pairs.csv'
        table.write_bytes('source,target\nä.png,b.png\n'.encode(coding))
        out = tmp_path / 'out'
        assert main(['batch', str(table), '--out', str(out)]) == 2
        assert 'not a CSV text file in UTF-8' in capsys.readouterr().err

    @pytest.mark.parametrize(
        ('head', 'row', 'message'),
        [
            ('source,labels', 'a,b', 'it lacks target and begins with source'),
            ('source,target', 'a', 'line 2: expected 2 values, got 1'),
            ('source,target', ',b', 'line 2: source is empty'),
            ('source,target,name', 'a,b,../c', 'name must be fit'),
            ('source,target,name', 'a,b,.c', 'name must be fit'),
            ('source,target', '', 'lists no pairs'),
        ],
    )
    def test_one_clear_error(
        self, folder: Path, capsys, head: str, row: str, message: str
    ) -> None:
        table = listed(folder, [row], head)
        out = folder / 'out'
        assert main(['batch', table, '--out', str(out), *QUICK]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count('\n') == 1
        assert not out.exists()

    def test_other_arguments_are_checked_first(
        self, folder: Path, capsys
    ) -> None:
        where = [eight(folder), '--out', str(folder / 'out')]
        for wrong, message in (
            (['--workers', '-1'], 'workers must be 0 or more'),
            (['--write', 'flow,all'], '--outputs must name some of'),
            (['--weights', 'none'], 'weights must be one of'),
            (['--precision', 'fp8'], 'precision must be one of'),
        ):
            assert main(['batch', *where, *wrong]) == 2
            assert message in capsys.readouterr().err
        assert not (folder / 'out').exists()

    def test_same_name_twice_is_refused(self, folder: Path) -> None:
        table = listed(
            folder, ['a,b,One', 'c,d,two', 'e,f,one'], 'source,target,name'
        )
        with pytest.raises(InputError, match=r'line 4.*given before.*line 2'):
            read_pairs(Path(table), folder)

    def test_files_of_one_name_get_a_folder_each(self, folder: Path) -> None:
        table = listed(
            folder,
            ['a/x.png,b/y.png,', 'c/x.png,d/Y.png,', 'a/x.png,e/y.png,x-y-2'],
            'source,target,name',
        )
        found = read_pairs(Path(table), folder)
        # Those of one source stand together.
        assert [pair.source.parent.name for pair in found] == ['a', 'a', 'c']
        assert [pair.name for pair in found] == ['x-y', 'x-y-2', 'x-Y-3']

    def test_takes_the_lists_of_benchmarks(self, folder: Path) -> None:
        keypoints = listed(
            folder,
            ['a.jpg,b.jpg,cat,1;2,3;4,5;6,7;8'],
            'source_image,target_image,class,XA,YA,XB,YB',
        )
        (pair,) = read_pairs(Path(keypoints), folder / 'images')
        assert pair.target == folder / 'images' / 'b.jpg'
        assert pair.labels is None
        masks = listed(
            folder,
            ['a.png,b.png,am.png,bm.png'],
            'source,target,source_mask,target_mask',
        )
        (pair,) = read_pairs(Path(masks), folder)
        assert pair.labels == folder / 'am.png'


class TestPoints:
    @pytest.mark.parametrize(
        'text',
        [
            'index,axis-0,axis-1\n0,1,2\n1,3.5,4\n',
            'row,column,name\n1,2,a\n3.5,4,b\n',
            'x, y\n2,1\n4,3.5\n',
        ],
    )
    def test_reads_what_names_its_axes(
        self, tmp_path: Path, text: str
    ) -> None:
        (tmp_path / 'p.csv').write_text(text)
        np.testing.assert_array_equal(
            read_points(tmp_path / 'p.csv'), [[1, 2], [3.5, 4]]
        )

    @pytest.mark.parametrize(
        ('text', 'message'),
        [
            ('a,b\n1,2\n', 'names of the columns: axis-0'),
            ('y,x\n1,two\n', 'must be finite numbers'),
            ('y,x\n1,nan\n', 'must be finite'),
            ('y,x\n1\n', 'must have 2 values'),
        ],
    )
    def test_refuses_others(
        self, tmp_path: Path, text: str, message: str
    ) -> None:
        (tmp_path / 'p.csv').write_text(text)
        with pytest.raises(InputError, match=message):
            read_points(tmp_path / 'p.csv')


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == 'win32', reason='needs signals')
class TestWorkers:
    def test_several_do_the_same_as_one(
        self, folder: Path, tmp_path: Path, capsys
    ) -> None:
        pytest.importorskip('distributed')
        rows = [f'source.png,target{k}.png,labels.png' for k in range(6)]
        table = listed(folder, [*rows, 'source.png,broken.png,labels.png'])
        out = tmp_path / 'out'
        done = subprocess.run(
            command(table, out, '--workers', '2'),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert 'Traceback' not in done.stderr
        found = json.loads(done.stdout)
        assert found['workers'] == 2
        assert [f['name'] for f in found['failures']] == ['source-broken']
        assert not (out / '.unfinished').exists()
        # Six targets, and the source by each of the two.
        assert found['images_encoded'] <= 8
        one = run(capsys, table, '--out', str(tmp_path / 'one'))
        assert one['done'] == found['done'] == 6
        assert complete(out) == complete(tmp_path / 'one')
        for name in complete(out):
            first, second = (
                Correspondence.load(at / name / FILES['correspondence'])
                for at in (out, tmp_path / 'one')
            )
            # The order of sums differs with the number of threads.
            np.testing.assert_allclose(
                first.forward, second.forward, atol=1e-4
            )

    def test_goes_on_after_a_worker_and_then_itself_was_killed(
        self, folder: Path, tmp_path: Path, capsys
    ) -> None:
        psutil = pytest.importorskip('psutil')
        pytest.importorskip('distributed')
        out = tmp_path / 'out'
        rows = [f'source.png,target{k % 8}.png,labels.png' for k in range(24)]
        table = listed(folder, rows)
        with started(table, out, '--workers', '2') as process:
            waited(lambda: out.exists() and list(out.glob('source-*')))
            itself = psutil.Process(process.pid)
            children = [
                child
                for child in itself.children(recursive=True)
                if 'spawn_main' in ' '.join(child.cmdline())
            ]
            assert len(children) >= 2
            children[0].kill()
            before = len(complete(out))
            waited(
                lambda: (
                    len(complete(out)) > before + 2
                    or process.poll() is not None
                )
            )
            assert process.poll() is None
            family = itself.children(recursive=True)
        # No worker stays behind.
        waited(lambda: not any(alive(child.pid) for child in family))
        there = complete(out)
        assert 0 < len(there) < 24
        found = run(capsys, table, '--out', str(out))
        assert found['skipped'] == len(there)
        assert found['done'] == 24 - len(there)
        assert found['status'] == 0
        assert len(complete(out)) == 24
        assert not (out / '.unfinished').exists()

    def test_is_interrupted_in_order(
        self, folder: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / 'out'
        rows = [f'source.png,target{k % 8}.png,labels.png' for k in range(400)]
        with started(listed(folder, rows), out) as process:
            waited(lambda: out.exists() and list(out.glob('source-*')))
            os.killpg(process.pid, signal.SIGINT)
            _, error = process.communicate(timeout=120)
        assert process.returncode == 130
        assert 'give the same command again to go on' in error
        assert 'Traceback' not in error
        assert 0 < len(complete(out)) < 400
        assert (out / 'summary.csv').exists()

    def test_no_scheduler_is_one_line(
        self, folder: Path, tmp_path: Path, capsys, monkeypatch
    ) -> None:
        distributed = pytest.importorskip('distributed')
        from napari_samnet.batch import workers

        monkeypatch.setattr(workers, 'CONNECT_TIMEOUT', 1)
        out = str(tmp_path / 'out')
        for address in ('tcp://127.0.0.1:9', 'nonsense://x'):
            status = main(
                ['batch', eight(folder), '--out', out, '--scheduler', address]
            )
            assert status == 2
            error = capsys.readouterr().err
            assert f'no scheduler with workers at {address}' in error
        # What dask computes from then on is not given to nobody.
        with pytest.raises(ValueError, match='No clients found'):
            distributed.default_client()


def test_pairs_that_are_not_to_be_used_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a single match says of itself, a list of thousands says too."""
    Image.new('RGB', (9, 9)).save(folder / 'black.png')
    Image.new('L', (SIDE, SIDE)).save(folder / 'nothing.png')
    rows = [
        'source.png,source.png,labels.png,same',
        'source.png,black.png,labels.png,dark',
        'source.png,target0.png,nothing.png,bare',
    ]
    pairs = listed(folder, rows, 'source,target,labels,name')
    command = ['batch', pairs, '--out', str(tmp_path / 'out'), *QUICK, *FEW]
    for _ in range(2):
        # The second run finds them all there.
        assert main(command) == 0
        told = capsys.readouterr().out
        assert 'do not use: dark: the target shows nothing' in told
        assert 'do not use: same' not in told
    with open(tmp_path / 'out' / 'summary.csv', newline='') as file:
        lines = {line['name']: line for line in csv.DictReader(file)}
    assert lines['same']['verdict'] == 'good'
    assert lines['dark']['verdict'] == 'bad'
    assert 'shows nothing' in lines['dark']['reason']
    assert 'holds no label' in lines['bare']['notices']
    assert main([*command, '--json']) == 0
    facts = json.loads(capsys.readouterr().out)
    assert list(facts['verdicts']['bad']) == ['dark']
