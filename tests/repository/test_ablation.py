"""The ablation tool, on a pair that comes with the package."""

from __future__ import annotations

import json

import pytest
from ablation import CHANGES, main, rows, with_layers

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
