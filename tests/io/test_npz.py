"""Saved correspondences: whole, the same each time, and never trusted."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError


def some(**more: Any) -> Correspondence:
    """A correspondence of two images, made of random numbers."""
    rng = np.random.default_rng(0)
    given: dict[str, Any] = {
        'forward': rng.normal(size=(8, 6, 2)).astype(np.float32),
        'backward': rng.normal(size=(5, 9, 2)).astype(np.float32),
        'forward_cell_confidence': rng.random((8, 6)).astype(np.float32),
        'backward_cell_confidence': rng.random((5, 9)).astype(np.float32),
        'source_shape': (30, 20),
        'target_shape': (24, 40),
    }
    return Correspondence(**{**given, **more})


@pytest.fixture
def full() -> Correspondence:
    rng = np.random.default_rng(0)
    return some(
        transferred=rng.integers(0, 255, (30, 20, 3), np.uint8),
        warped_labels=rng.integers(0, 70001, (24, 40), np.int32),
        metadata={'options': {'window': 9}, 'changes': [1.5, 0.25]},
    )


@pytest.fixture
def path(full: Correspondence, tmp_path: Path) -> Path:
    return full.save(tmp_path / 'pair.npz')


def test_holds_everything(full: Correspondence, path: Path) -> None:
    back = Correspondence.load(path)
    for name in (
        'forward',
        'backward',
        'forward_cell_confidence',
        'backward_cell_confidence',
        'transferred',
        'warped_labels',
    ):
        one, other = getattr(full, name), getattr(back, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert back.source_shape == full.source_shape
    assert back.target_shape == full.target_shape
    assert back.metadata == full.metadata


def test_may_hold_no_images(tmp_path: Path) -> None:
    path = some().save(tmp_path / 'pair.npz')
    assert Correspondence.load(path).transferred is None
    assert Correspondence.load(path).warped_labels is None


@pytest.mark.parametrize('dtype', ['bool', '>u2', 'float16', 'float64'])
def test_keeps_the_transferred_dtype(tmp_path: Path, dtype: str) -> None:
    image = np.asfortranarray(np.eye(30, 20).astype(dtype))
    path = some(transferred=image).save(tmp_path / 'pair.npz')
    back = Correspondence.load(path).transferred
    assert back is not None
    assert back.dtype == image.dtype
    assert back.flags.writeable
    np.testing.assert_array_equal(back, image)


def test_is_read_by_numpy_without_pickle(
    full: Correspondence, path: Path
) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays['forward'], full.forward)


def test_is_the_same_each_time(
    full: Correspondence, path: Path, tmp_path: Path
) -> None:
    again = full.save(tmp_path / 'again.npz')
    assert again.read_bytes() == path.read_bytes()


def test_truncated_anywhere_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    lengths = [0, 1, 30, *range(100, len(whole) - 1, 97)]
    for length in [*lengths, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r'pair\.npz'):
            Correspondence.load(path)


def test_a_flipped_bit_is_refused_or_harmless(
    full: Correspondence, path: Path
) -> None:
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    one_line = []
    for place in rng.integers(0, len(whole), 600):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            back = Correspondence.load(path)
        except InputError as error:
            message = str(error)
            one_line.append('pair.npz' in message and '\n' not in message)
        else:
            # Dates and attributes of members are not checked by zip.
            np.testing.assert_array_equal(back.forward, full.forward)
            np.testing.assert_array_equal(
                back.warped_labels, full.warped_labels
            )
    assert len(one_line) > 500
    assert all(one_line)


@pytest.mark.parametrize(
    'write',
    [
        lambda path: path.write_text('no archive'),
        lambda path: np.savez(path, forward=np.zeros((3, 3, 2))),
        lambda path: np.savez_compressed(path, header=np.zeros(9)),
        lambda path: np.savez(path, header=np.zeros(2, np.uint8)),
        lambda path: np.savez(
            path, header=np.frombuffer(b'{"format": 1}', np.uint8)
        ),
        lambda path: np.savez(
            path, header=np.frombuffer(b'[' * 100000, np.uint8)
        ),
        lambda path: np.savez(path, header=np.array([{}], object)),
        lambda path: np.savez(path, header=np.array('{}')),
    ],
)
def test_another_file_is_refused(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    path = tmp_path / 'other.npz'
    write(path)
    with pytest.raises(InputError, match='not a saved correspondence'):
        Correspondence.load(path)


def test_parts_that_do_not_fit_are_refused(
    path: Path, full: Correspondence
) -> None:
    with np.load(path) as arrays:
        parts = dict(arrays)
    for change, message in (
        ({'forward': parts['backward']}, 'forward_cell_confidence must'),
        ({'forward': parts['forward'] * np.nan}, 'finite'),
        ({'warped_labels': parts['forward']}, 'warped_labels must'),
        ({'extra': np.zeros(3)}, 'it must hold forward'),
    ):
        np.savez(path, **{**parts, **change})
        with pytest.raises(InputError, match=message):
            Correspondence.load(path)
    del parts['backward']
    np.savez(path, **parts)
    with pytest.raises(InputError, match='it must hold forward'):
        Correspondence.load(path)


@pytest.mark.parametrize('claim', [(10**12, 2), (-8, -12), (8, 7, 2), ()])
def test_a_claimed_shape_takes_no_memory(
    path: Path, claim: tuple[int, ...]
) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    start = io.BytesIO()
    npy.write_array_header_1_0(
        start, {'descr': '<f4', 'fortran_order': False, 'shape': claim}
    )
    members['forward.npy'] = start.getvalue() + bytes(8 * 6 * 2 * 4)
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match=r'claims shape .* 384 bytes'):
        Correspondence.load(path)


def test_compressed_members_are_refused(path: Path) -> None:
    with np.load(path) as arrays:
        np.savez_compressed(path, **dict(arrays))
    with pytest.raises(InputError, match='without compression'):
        Correspondence.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'cannot read .*none\.npz'):
        Correspondence.load(tmp_path / 'none.npz')


def test_a_failed_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(InputError, match='No space left on device'):
        some().save(tmp_path / 'pair.npz')
    assert not list(tmp_path.iterdir())


def test_metadata_must_be_json(tmp_path: Path) -> None:
    found = some(metadata={'model': object()})
    with pytest.raises(InputError, match='metadata must be JSON'):
        found.save(tmp_path / 'pair.npz')
    assert not list(tmp_path.iterdir())
