"""Results that were corrected by hand are not replaced."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_samnet.cli.main import main
from napari_samnet.errors import InputError
from napari_samnet.outputs.folder import check_unchanged


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """What an earlier run left, an hour ago."""
    folder = tmp_path / 'results'
    folder.mkdir()
    for name in ('warped_labels.tif', 'correspondence.npz', 'report.csv'):
        file = folder / name
        file.write_bytes(b'')
        then = file.stat().st_mtime - 3600
        os.utime(file, (then, then))
    return folder


def test_only_what_is_newer_than_its_record(results: Path) -> None:
    labels, record = results / 'warped_labels.tif', results / 'report.csv'
    missing = results / 'missing.tif'
    check_unchanged([labels, missing], record)
    check_unchanged([labels], missing)
    labels.write_bytes(b'corrected')
    check_unchanged([labels], missing)
    with pytest.raises(InputError, match='was changed after it was written'):
        check_unchanged([missing, labels], record)


def test_the_command_refuses(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / 'image.tif'
    tifffile.imwrite(image, np.zeros((70, 70), np.uint8))
    labels = results / 'warped_labels.tif'
    labels.write_bytes(b'corrected')
    command = ['transfer', str(image), str(image), '--out', str(results)]
    assert main(command) == 2
    assert 'move it away' in capsys.readouterr().err
    assert labels.read_bytes() == b'corrected'
