"""Figures of the benchmark in the card of a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from card import main, with_figures

from napari_samnet.cli.main import main as command
from napari_samnet.errors import InputError
from napari_samnet.runtime.weights import get_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def result() -> dict[str, Any]:
    """One pair, by the command itself."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert (
            command(['benchmark', 'synthetic', '--limit', '1', '--json']) == 0
        )
    return dict(json.loads(out.getvalue()))


@pytest.fixture
def card() -> dict[str, Any]:
    shipped = get_weights('samnet')
    return {'name': 'samnet', 'sha256': shipped.sha256, 'licence': 'free'}


def test_a_card_takes_what_the_command_printed(
    result: dict[str, Any], card: dict[str, Any], tmp_path: Path
) -> None:
    path, printed = tmp_path / 'card.json', tmp_path / 'result.json'
    path.write_text(json.dumps(card), encoding='utf-8')
    printed.write_text(json.dumps(result), encoding='utf-8')
    assert main([str(path), str(printed)]) == 0
    made = json.loads(path.read_text(encoding='utf-8'))
    measured = made.pop('measured')['synthetic']
    assert made == card
    assert measured['command'] == 'napari-samnet benchmark synthetic --limit 1'
    assert measured['pairs'] == 1
    assert measured['samnet']['epe'] == result['methods']['samnet']['epe']
    assert 'epe' in measured['identity']
    assert 'seconds_per_pair' not in measured['samnet']


def test_other_sets_stay(result: dict[str, Any], card: dict[str, Any]) -> None:
    card['measured'] = {'tss': {'pairs': 6}}
    assert with_figures(card, result)['measured'].keys() == {
        'tss',
        'synthetic',
    }


def test_what_does_not_belong_is_refused(
    result: dict[str, Any],
    card: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(InputError, match='is of the weights'):
        with_figures({**card, 'sha256': 'another'}, result)
    own = result['methods']['samnet']
    other = {**own, 'options': {**own['options'], 'iterations': 3}}
    with pytest.raises(InputError, match='not of default settings'):
        with_figures(card, {**result, 'methods': {'samnet': other}})
    with pytest.raises(InputError, match='no result'):
        with_figures(card, {'protocol': 'masks', 'methods': {}})
    path = tmp_path / 'card.json'
    path.write_text('[]', encoding='utf-8')
    assert main([str(path), str(path)]) == 2
    assert 'one JSON object' in capsys.readouterr().err
    assert path.read_text(encoding='utf-8') == '[]'
