"""The ablation command on pairs that come with the package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_samnet.cli.main import main
from napari_samnet.errors import InputError
from napari_samnet.evaluation.ablation import ITERATIONS, parse_networks

SMALL = ('ablation', '--limit', '1', '--size', '96', '--device', 'cpu')


def test_every_variant_of_the_paper_is_a_row(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = tmp_path / 'report'
    words = ['benchmark', *SMALL, '--compare', 'again=samnet']
    assert main([*words, '--json', '--report', str(report)]) == 0
    out = capsys.readouterr().out
    assert out.count('\n') == 1
    result = json.loads(out)
    assert (result['protocol'], result['measured_by']) == (
        'ablation',
        'synthetic',
    )
    tables = result['tables']
    curve = tables['iterations']
    assert list(curve) == [
        f'{count} {word} attributes'
        for word in ('with', 'without')
        for count in ITERATIONS
    ]
    # The first iteration has nothing transferred to match with yet.
    assert curve['1 with attributes'] == curve['1 without attributes']
    assert curve['3 with attributes'] != curve['3 without attributes']
    assert curve['5 with attributes'] != curve['1 with attributes']
    windows = tables['window']
    assert list(windows) == ['5x5', '7x7', '9x9', '11x11']
    # The default is a row of three tables.
    default = tables['attributes']['with']
    assert windows['9x9'] == default == tables['weights']['default']
    assert tables['weights']['again'] == default
    assert windows['5x5'] != default
    assert json.loads((report / 'ablation.json').read_text()) == result
    text = (report / 'ablation.md').read_text()
    assert '| 10 without attributes | ' in text
    assert text.count('\n## ') == 5


def test_what_cannot_be_ablated_is_one_clear_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['benchmark', *SMALL, '--reference']) == 2
    assert main(['benchmark', *SMALL, '--compare', 'nothing']) == 2
    assert main(['benchmark', *SMALL, '--compare', 'x=none.safetensors']) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3
    assert all(line.startswith('napari-samnet: ') for line in lines)
    with pytest.raises(InputError, match='twice'):
        parse_networks(['a=b', 'a=c'])
