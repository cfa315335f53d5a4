"""Where nothing can be kept: a home that cannot be written, or none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_samnet.cli.main import main
from napari_samnet.files import HOME_VARIABLE

QUICK = [
    *('--size', '64', '--window', '5', '--iterations', '1'),
    *('--orientation', 'upright'),
    *('--device', 'cpu', '--no-attributes', '--json'),
]


@pytest.fixture(params=['no folder', 'a file', 'unset'])
def nowhere(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """No place for settings, caches or networks, whoever runs the tests."""
    (tmp_path / 'home').touch()
    for name in ('XDG_CONFIG_HOME', 'XDG_CACHE_HOME', 'XDG_DATA_HOME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    if request.param == 'unset':
        monkeypatch.delenv('HOME', raising=False)
        monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / 'home' / 'own'))
    else:
        # Nothing can be made below either, not even by root.
        place = '/dev/null' if request.param == 'no folder' else 'home'
        monkeypatch.setenv('HOME', str(tmp_path / place / 'deeper'))
    return str(request.param)


@pytest.mark.slow
def test_transfer_needs_no_home(
    nowhere: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / 'Bilder mit Raum' / '細胞 1'
    place.mkdir(parents=True)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 7, 3), np.uint8).repeat(12, 0)
    image = image.repeat(12, 1)
    labels = np.zeros(image.shape[:2], np.uint8)
    labels[20:40, 30:60] = 3
    for name, array in (('von', image), ('nach', image[:, ::-1])):
        Image.fromarray(array).save(place / f'{name} é.png')
    Image.fromarray(labels).save(place / 'maske é.png')
    # That int8 is right here would be kept, if there were a place.
    precision = 'int8' if nowhere == 'a file' else 'auto'
    if precision == 'int8':
        pytest.importorskip('openvino')
    command = [
        *('transfer', str(place / 'von é.png'), str(place / 'nach é.png')),
        *('--labels', str(place / 'maske é.png')),
        *('--out', str(place / 'ergebnis é'), '--precision', precision),
    ]
    before = sorted(tmp_path.rglob('*'))
    assert main([*command, *QUICK]) == 0
    facts = json.loads(capsys.readouterr().out)
    for path in facts['files'].values():
        assert Path(path).parent == place / 'ergebnis é'
    warped = tifffile.imread(facts['files']['warped_labels'])
    assert set(np.unique(warped)) <= {0, 3}
    new = set(tmp_path.rglob('*')) - set(before)
    assert all(place / 'ergebnis é' in (path, *path.parents) for path in new)


@pytest.mark.usefixtures('nowhere')
def test_info_needs_no_home(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['info', '--json']) == 0
    assert 'samnet' in json.loads(capsys.readouterr().out)['weights']
