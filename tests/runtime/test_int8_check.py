"""int8 is refused where it is wrong or slow, and compared once elsewhere."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import pytest

from napari_samnet.errors import DeviceError
from napari_samnet.files import HOME_VARIABLE
from napari_samnet.runtime import int8_check
from napari_samnet.runtime.devices import resolve_execution_target
from napari_samnet.runtime.weights import get_weights

pytest.importorskip('openvino')


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is known of this computer."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / 'home'))
    int8_check._checked.cache_clear()
    return tmp_path / 'home'


@pytest.mark.parametrize(
    ('system', 'machine', 'says'),
    [
        ('linux', 'aarch64', 'ARM'),
        ('win32', 'ARM64', 'ComputeLibrary issue 1225'),
        ('darwin', 'arm64', 'openvino issue 34673'),
        ('darwin', 'x86_64', 'macOS'),
    ],
)
def test_is_refused_by_name_where_it_is_known_to_be_wrong(
    system: str, machine: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'platform', system)
    monkeypatch.setattr(platform, 'machine', lambda: machine)
    with pytest.raises(DeviceError, match=says) as caught:
        resolve_execution_target('cpu', 'int8')
    assert 'fp32' in str(caught.value)
    assert resolve_execution_target(
        'cpu', 'auto', weights=get_weights('samnet')
    ).precision != ('int8')


def test_is_compared_once_and_kept(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def compare(weights: object) -> float:
        calls.append(weights)
        return 0.2

    monkeypatch.setattr(int8_check, 'int8_fault', lambda: '')
    monkeypatch.setattr(int8_check, 'int8_agreement', compare)
    for _ in range(2):
        with pytest.raises(DeviceError, match='its features differ'):
            resolve_execution_target(
                'cpu', 'int8', weights=get_weights('samnet')
            )
        int8_check._checked.cache_clear()
    assert len(calls) == 1
    (kept,) = (own_folder / 'int8').iterdir()
    assert json.loads(kept.read_text()) == {'agreement': 0.2}
    # What cannot be read is found out again.
    kept.write_text('{')
    assert not int8_check.int8_is_right(get_weights('samnet'))
    assert len(calls) == 2


def test_nothing_needs_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / 'file' / 'home'))
    monkeypatch.setattr(int8_check, 'int8_agreement', lambda _: 0.99)
    assert int8_check.int8_is_right(get_weights('samnet'))


@pytest.mark.slow
@pytest.mark.skipif(bool(int8_check.int8_fault()), reason='known to be wrong')
def test_agrees_on_this_computer() -> None:
    assert int8_check.int8_agreement(get_weights('samnet')) > 0.97
