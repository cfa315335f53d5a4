"""Flows in the Middlebury format."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from napari_samnet.errors import InputError
from napari_samnet.io.flo import read_flo, write_flo


@pytest.fixture
def flow() -> np.ndarray:
    """Five rows, three columns."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(5, 3, 2)).astype(np.float32)


def test_bytes_are_those_of_the_format(tmp_path: Path) -> None:
    flow = np.zeros((1, 2, 2), np.float32)
    flow[0, 0] = 1.5, -2.0  # one and a half rows down, two columns left
    flow[0, 1] = 0.0, 8.0
    path = write_flo(tmp_path / 'a.flo', flow)
    expected = b'PIEH' + struct.pack('<ii4f', 2, 1, -2.0, 1.5, 8.0, 0.0)
    assert path.read_bytes() == expected


def test_reads_bytes_made_by_hand(tmp_path: Path) -> None:
    path = tmp_path / 'a.flo'
    path.write_bytes(b'PIEH' + struct.pack('<ii4f', 1, 2, 1, 2, 3, 4))
    np.testing.assert_array_equal(read_flo(path), [[[2, 1]], [[4, 3]]])


@pytest.mark.parametrize('dtype', ['f4', 'f8', 'f2', '>f4', 'i4'])
def test_there_and_back(tmp_path: Path, flow: np.ndarray, dtype: str) -> None:
    given = (flow * 100).astype(dtype)
    back = read_flo(write_flo(tmp_path / 'a.flo', given))
    assert back.dtype == np.float32
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, given.astype(np.float32))


def test_a_tall_flow_keeps_its_rows(tmp_path: Path) -> None:
    flow = np.arange(1000 * 4, dtype=np.float32).reshape(1000, 2, 2)
    back = read_flo(write_flo(tmp_path / 'a.flo', np.asfortranarray(flow)))
    np.testing.assert_array_equal(back, flow)


@pytest.mark.parametrize(
    ('width', 'height'),
    [(0, 5), (-3, -5), (3, 6), (2**31 - 1, 2**31 - 1), (5, 4), (3, 1)],
)
def test_a_header_that_lies_is_refused(
    tmp_path: Path, flow: np.ndarray, width: int, height: int
) -> None:
    path = write_flo(tmp_path / 'a.flo', flow)
    whole = bytearray(path.read_bytes())
    whole[4:12] = struct.pack('<ii', width, height)
    path.write_bytes(whole)
    with pytest.raises(InputError, match=f'{height} rows and {width} col'):
        read_flo(path)


@pytest.mark.parametrize('length', [0, 3, 4, 11, 12, 13, 131])
def test_a_truncated_file_is_refused(
    tmp_path: Path, flow: np.ndarray, length: int
) -> None:
    path = write_flo(tmp_path / 'a.flo', flow)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r'a\.flo'):
        read_flo(path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.flo'
    path.write_bytes(b'\x89PNG and more than twelve bytes')
    with pytest.raises(InputError, match='must begin with'):
        read_flo(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'cannot read .*none\.flo'):
        read_flo(tmp_path / 'none.flo')
    with pytest.raises(InputError, match='cannot read'):
        read_flo(tmp_path)


@pytest.mark.parametrize(
    'flow',
    [
        np.zeros((3, 4)),
        np.zeros((3, 4, 3)),
        np.zeros((0, 4, 2)),
        np.zeros((3, 4, 2), complex),
        np.zeros((3, 4, 2), bool),
    ],
)
def test_what_is_no_flow_is_not_written(
    tmp_path: Path, flow: np.ndarray
) -> None:
    with pytest.raises(InputError, match='flow must be numbers'):
        write_flo(tmp_path / 'a.flo', flow)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path: Path, flow: np.ndarray) -> None:
    with pytest.raises(InputError, match='cannot write'):
        write_flo(tmp_path / 'none' / 'a.flo', flow)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, flow: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_flo(tmp_path / 'a.flo', flow)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(InputError, match='No space left on device'):
        write_flo(path, flow * 2)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
