"""Libraries of extras: what is said where they are missing or of no use."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_samnet.errors import InputError
from napari_samnet.io.extras import require


def test_a_missing_one_is_told_with_the_way_to_get_it() -> None:
    with pytest.raises(
        InputError, match=r'pip install "napari-samnet\[formats\]"$'
    ):
        require('a_library_that_is_not_there', 'regions')
    with pytest.raises(InputError, match=r'pip install some-package$'):
        require('not_there.part', 'regions', package='some-package')


def test_one_that_is_installed_but_broken_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / 'half_installed.py'
    broken.write_text('import a_library_that_is_not_there')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        InputError, match=r"cannot be imported: No module named 'a_library"
    ):
        require('half_installed', 'regions')
