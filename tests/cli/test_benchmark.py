from __future__ import annotations

import json
import subprocess
import sys

import pytest
from PIL import Image

from napari_samnet.cli.main import main

KEYPOINTS = (
    'source,target,category,XA,YA,XB,YB',
    'a.png,b.png,x,20;40;60,20;20;40,10;20;30,10;10;20',
    'a.png,a.png,x,20;40,20;20,20;40,20;20',
    'b.png,a.png,y,1;2,1;2,50;60,40;50',
)


@pytest.fixture
def benchmark(capsys):
    """Run the command in this process: its status, output and errors."""

    def call(*words):
        status = main(['benchmark', *map(str, words)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def keypoints(two_images, write_list):
    return (
        'keypoints',
        '--pairs',
        write_list(*KEYPOINTS),
        '--root',
        two_images,
        '--method',
        'identity',
    )


def test_json_is_one_object_with_the_documented_names(benchmark, keypoints):
    status, out, _ = benchmark(*keypoints, '--json')
    assert status == 0
    assert out.count('\n') == 1
    result = json.loads(out)
    assert result['protocol'] == 'keypoints'
    assert result['pairs'] == 3
    scores = result['methods']['identity']
    for name in ('pck@0.05', 'pck@0.10', 'pck@0.15', 'seconds_per_pair'):
        assert isinstance(scores[name], float)
    assert set(scores['groups']) == {'x', 'y'}
    assert 'numpy' in result['versions']


def test_text_is_a_table(benchmark, keypoints):
    status, out, _ = benchmark(*keypoints)
    assert status == 0
    assert '| identity |' in out
    assert 'points of the source moved to the target' in out
    assert 'numpy' in out


def test_limit_is_spread_evenly(benchmark, keypoints):
    _, out, _ = benchmark(*keypoints, '--limit', '2', '--json')
    result = json.loads(out)
    assert result['pairs'] == 2
    assert result['methods']['identity']['groups']['x']['pairs'] == 2


def test_several_methods_in_one_run(benchmark, keypoints):
    words = [*keypoints[:-2], '--methods', 'identity,ilk', '--size', '96']
    _, out, _ = benchmark(*words, '--json')
    methods = json.loads(out)['methods']
    assert list(methods) == ['identity', 'ilk']
    assert 'scikit-image' in methods['ilk']['versions']


def test_report(benchmark, keypoints, tmp_path):
    folder = tmp_path / 'new' / 'report'
    status, out, err = benchmark(*keypoints, '--json', '--report', folder)
    assert status == 0
    assert json.loads((folder / 'result.json').read_text()) == json.loads(out)
    text = (folder / 'report.md').read_text()
    assert '| identity |' in text
    assert '(pairs.png)' in text
    rows = (folder / 'pairs.csv').read_text().splitlines()
    assert rows[0].startswith('pair,identity pck@0.05')
    assert len(rows) == 4
    with Image.open(folder / 'pairs.png') as picture:
        # Best, median and worst pair, one below the other.
        assert picture.height > 3 * 160
    assert 'report.md' in err


def test_synthetic_runs_out_of_the_box(benchmark):
    words = ('synthetic', '--method', 'identity', '--limit', 2, '--json')
    _, out, _ = benchmark(*words)
    first = json.loads(out)['methods']['identity']
    assert first['epe'] > 5
    _, out, _ = benchmark(*words)
    assert json.loads(out)['methods']['identity']['epe'] == first['epe']
    _, out, _ = benchmark(*words, '--seed', 1)
    assert json.loads(out)['methods']['identity']['epe'] != first['epe']


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['depth'], 'protocol must be one of keypoints'),
        (['keypoints'], 'needs a list of pairs'),
        (['masks', '--pairs', 'none.csv'], 'cannot read the list none.csv'),
        (['tss', '--root', 'nowhere'], 'there is no folder nowhere'),
        (['synthetic', '--method', 'raft'], 'method must be one of'),
        (['synthetic', '--limit', '0'], 'limit must be at least 1'),
        (['synthetic', '--seed', '-1'], 'seed must not be negative'),
        (['synthetic', '--option', 'window'], 'option must be NAME=VALUE'),
        (['synthetic', '--option', 'depth=2'], 'option must be NAME=VALUE'),
        (['synthetic', '--option', 'window=8'], 'window must be odd'),
        (['synthetic', '--option', 'window=x'], 'window must be a whole'),
        (['synthetic', '--option', 'attributes=2'], 'true or false'),
        (['synthetic', '--estimates', '.'], 'only be scored by flow'),
        (['synthetic', '--size', '100'], 'size must be a multiple'),
    ],
)
def test_wrong_use_is_one_line(benchmark, words, message):
    status, out, err = benchmark(*words)
    assert status == 2
    assert out == ''
    assert message in err
    assert err.count('\n') == 1


def test_a_list_in_the_folder_of_the_report_stays(
    benchmark, keypoints, tmp_path
):
    mine = tmp_path / 'own' / 'pairs.csv'
    mine.parent.mkdir()
    mine.write_text('source,target\n')
    status, out, err = benchmark(*keypoints, '--report', mine.parent)
    assert status == 2
    assert 'pairs.csv is there already and no run has written it' in err
    assert out == ''
    assert mine.read_text() == 'source,target\n'
    mine.unlink()
    for _ in range(2):
        assert benchmark(*keypoints, '--report', mine.parent)[0] == 0


def test_report_where_nothing_can_be_written(benchmark, keypoints, tmp_path):
    blocked = tmp_path / 'file'
    blocked.write_text('')
    status, out, err = benchmark(*keypoints, '--report', blocked)
    assert status == 2
    # Before anything is computed.
    assert out == ''
    assert err.count('\n') == 1
    assert f'{blocked} is a file, expected a folder' in err


@pytest.mark.slow
def test_the_evaluation_imports_neither_torch_nor_napari():
    code = (
        'import sys\n'
        'import napari_samnet.cli.benchmark\n'
        'import napari_samnet.evaluation.protocols.registry\n'
        'import napari_samnet.evaluation.report\n'
        'import napari_samnet.evaluation.methods.dense_flow\n'
        'import napari_samnet.evaluation.methods.features\n'
        "assert not {'torch', 'napari', 'qtpy', 'cv2', 'itk'} & "
        'set(sys.modules)\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
