"""The ablation tool, on a pair that comes with the package."""

from __future__ import annotations

import json

import pytest
from ablation import CHANGES, main, rows, with_layers
from ablation_parts import SETS, whole_table

from napari_samnet.errors import InputError
from napari_samnet.options import DEFAULTS
from napari_samnet.runtime.weights import get_weights, read_model

pytestmark = pytest.mark.slow

SMALL = ('synthetic', '--limit', '1', '--size', '96', '--device', 'cpu')


def test_every_change_is_a_row_beside_the_default(capsys) -> None:
    words = ['--change', 'iterations=1,alikeness=0', '--compare', 'b=samnet']
    assert main([*SMALL, *words, '--json']) == 0
    methods = json.loads(capsys.readouterr().out)['methods']
    change = 'iterations=1,alikeness=0'
    assert list(methods) == ['identity', 'nearest', 'default', change, 'b']
    assert methods['b']['epe'] == methods['default']['epe']
    assert methods[change]['epe'] != methods['default']['epe']


def test_usual_changes_are_options_of_a_match() -> None:
    assert len(rows(DEFAULTS, CHANGES, {})) == 3 + len(CHANGES)
    with pytest.raises(InputError, match='option must be NAME=VALUE'):
        rows(DEFAULTS, ['windows=5'], {})


def test_a_network_of_fewer_layers(tmp_path) -> None:
    path = tmp_path / 'one.safetensors'
    with_layers('samnet', ['relu4_1'], path)
    model = read_model(get_weights(str(path)).path)
    assert model.config.matching_layers == ('relu4_1',)


def test_wrong_words_are_one_line(capsys) -> None:
    assert main([*SMALL, '--compare', 'nothing']) == 2
    assert main([*SMALL, '--compare', 'x=none.safetensors']) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2


def test_all_parts_in_one_table_are_measured_once(tmp_path, capsys) -> None:
    words = ['all', '--sets', 'synthetic', *SMALL[1:], '--out', str(tmp_path)]
    assert main(words) == 0
    table = capsys.readouterr().out
    found = tmp_path / 'synthetic.json'
    measured = found.stat().st_mtime_ns
    methods = json.loads(found.read_text(encoding='utf-8'))['methods']
    fields = (
        'default',
        'W_G without what was learned',
        'no W_G',
        'features before',
        'paper',
    )
    assert {*fields} <= set(methods)
    assert {'iterations: 10', 'round windows'} <= set(methods)
    # Each of these is another field.
    errors = [methods[name]['epe'] for name in fields]
    assert len(set(errors)) == len(fields)
    assert '| synthetic, 1: EPE, px |' in table
    assert all(f'\n| {name} |' in table for name in methods)
    assert (tmp_path / 'table.md').read_text(encoding='utf-8') == table
    assert main(words) == 0
    assert capsys.readouterr().out == table
    assert found.stat().st_mtime_ns == measured
    # Another number of pairs is another measurement.
    assert main([*words, '--limit', '2']) == 0
    assert '| synthetic, 2: EPE, px |' in capsys.readouterr().out


def test_a_row_for_each_part_and_a_column_for_each_set() -> None:
    results = {
        chosen.name: {
            'pairs': 3,
            'methods': {'default': dict.fromkeys(chosen.scores, 0.0123)},
        }
        for chosen in SETS
    }
    results['synthetic']['methods']['paper'] = {'epe': 12.345}
    first, second = whole_table(results).split('\n\n')
    assert len(SETS) == 2 * (first.splitlines()[0].count(' | '))
    assert '| paper | 12.3 |' in second
    assert 'paper' not in first
    assert '.0123 / .0123 / .0123' in first


def test_all_wants_a_folder_and_known_sets(tmp_path, capsys) -> None:
    assert main(['all']) == 2
    assert main(['all', '--out', str(tmp_path), '--sets', 'horses']) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert 'needs --out' in errors[0]
    assert 'sets must be among pf-willow' in errors[1]
