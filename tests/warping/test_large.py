"""Images of any size: read and written by pieces, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_samnet.arrays import lazy, tiles
from napari_samnet.arrays.lazy import RowCache, chunk_shape
from napari_samnet.cli.main import main
from napari_samnet.color.guided_affine import transfer_colors
from napari_samnet.correspondence import Correspondence
from napari_samnet.dask_warp import lazy_image, lazy_labels
from napari_samnet.errors import InputError
from napari_samnet.images.rgb import to_working
from napari_samnet.io.image_files import read_image
from napari_samnet.io.label_files import read_labels
from napari_samnet.outputs.folder import FILES, LARGE
from napari_samnet.warping import warp as warping

SOURCE, TARGET = (301, 203), (220, 311)


def smooth_correspondence(
    source: tuple[int, int] = SOURCE, target: tuple[int, int] = TARGET
) -> Correspondence:
    """Waves of a tenth of the side, in both directions."""
    angle = np.linspace(0, 5, 9)
    wave = np.sin(angle)[:, None] + np.cos(1.3 * angle)
    field = (0.05 * np.stack([wave, wave.T], axis=-1)).astype(np.float32)
    trust = ((wave + 2) / 4).astype(np.float32)
    return Correspondence(
        forward=field,
        backward=-field,
        forward_cell_confidence=trust,
        backward_cell_confidence=trust,
        source_shape=source,
        target_shape=target,
    )


class Chunked:
    """An array in chunks that notes what is read and written."""

    def __init__(self, array: np.ndarray, chunks: tuple[int, ...]) -> None:
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.chunks = chunks
        self.read: list[tuple[slice, ...]] = []
        self.written: list[tuple[slice, ...]] = []

    def __getitem__(self, where: Any) -> np.ndarray:
        self.read.append(where)
        return self.array[where]

    def __setitem__(self, where: Any, value: np.ndarray) -> None:
        self.written.append(where)
        self.array[where] = value

    @property
    def largest(self) -> int:
        """Values of the largest piece that was read."""
        return max(self.array[where].size for where in self.read)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is large is large from a thousand values on."""
    monkeypatch.setattr(warping, 'COPIED_VALUES', 1000)
    monkeypatch.setattr(warping, 'WINDOW_SIDE', 32)
    monkeypatch.setattr(tiles, 'BLOCK_PIXELS', 500)


@pytest.fixture
def labels() -> np.ndarray:
    """Labels of the source."""
    found = np.random.default_rng(0).integers(1, 70001, SOURCE)
    return found.astype(np.int32)


@pytest.mark.usefixtures('small_pieces')
class TestOut:
    def test_chunks_are_written_whole_and_once(
        self, labels: np.ndarray
    ) -> None:
        found = smooth_correspondence()
        out = Chunked(np.zeros(TARGET, np.int32), (50, 40))
        assert found.warp_labels(labels, out=out) is out
        np.testing.assert_array_equal(out.array, found.warp_labels(labels))
        seen = np.zeros(TARGET, int)
        for where in out.written:
            seen[where] += 1
            for part, side, chunk in zip(
                where, TARGET, out.chunks, strict=True
            ):
                assert part.start % chunk == 0
                assert part.stop % chunk == 0 or part.stop == side
        assert (seen == 1).all()

    @pytest.mark.parametrize('axis', [None, 0, 2])
    def test_zarr_takes_labels_and_images(
        self, labels: np.ndarray, axis: int | None, tmp_path: Path
    ) -> None:
        zarr = pytest.importorskip('zarr')
        found = smooth_correspondence()
        kept = zarr.create_array(
            tmp_path / 'labels.zarr', shape=SOURCE, chunks=(64, 64), dtype='i4'
        )
        kept[:] = labels
        out = zarr.create_array(
            tmp_path / 'out.zarr', shape=TARGET, chunks=(60, 64), dtype='i4'
        )
        found.warp_labels(kept, out=out, min_confidence=0.4)
        np.testing.assert_array_equal(
            out[:], found.warp_labels(labels, min_confidence=0.4)
        )
        sides, chunks = [*SOURCE], [60, 64]
        if axis is not None:
            sides.insert(axis, 3)
            chunks.insert(axis, 1)
        image = np.random.default_rng(0).random(sides)
        expected = found.warp_image(image, to='target')
        picture = zarr.create_array(
            tmp_path / 'image.zarr',
            shape=expected.shape,
            chunks=tuple(chunks),
            dtype='f8',
        )
        found.warp_image(image, to='target', out=picture)
        np.testing.assert_array_equal(picture[:], expected)

    def test_what_cannot_be_filled_is_refused(
        self, labels: np.ndarray
    ) -> None:
        da = pytest.importorskip('dask.array')
        found = smooth_correspondence()
        for wrong in (da.zeros(TARGET, dtype=np.int32), 'out.npy'):
            with pytest.raises(InputError, match='out must be an array that'):
                found.warp_labels(labels, out=wrong)


@pytest.mark.usefixtures('small_pieces')
class TestLazyResults:
    def test_labels_are_the_same(self, labels: np.ndarray) -> None:
        da = pytest.importorskip('dask.array')
        found = smooth_correspondence()
        expected = found.warp_labels(labels, min_confidence=0.4)
        for given in (labels, da.from_array(labels, chunks=70)):
            result = lazy_labels(found, given, min_confidence=0.4, side=64)
            assert result.dtype == labels.dtype
            assert result.chunks[0] == (64, 64, 64, 28)
            np.testing.assert_array_equal(result.compute(), expected)
            np.testing.assert_array_equal(
                result[100:130, 200:220].compute(), expected[100:130, 200:220]
            )

    @pytest.mark.parametrize('to', ['source', 'target'])
    def test_images_are_the_same(self, to: Any) -> None:
        pytest.importorskip('dask.array')
        found = smooth_correspondence()
        shape = TARGET if to == 'source' else SOURCE
        image = np.random.default_rng(0).random((*shape, 3))
        expected = found.warp_image(image, to=to, fill=0.5)
        result = lazy_image(found, image, to=to, fill=0.5, side=64)
        np.testing.assert_array_equal(result.compute(), expected)

    def test_a_block_reads_its_window_alone(self, labels: np.ndarray) -> None:
        pytest.importorskip('dask.array')
        kept = Chunked(labels, (32, 32))
        result = lazy_labels(smooth_correspondence(), kept, side=32)
        assert not kept.read
        result[:32, :32].compute()
        assert kept.largest < labels.size / 4

    def test_what_does_not_fit_is_refused(self, labels: np.ndarray) -> None:
        found = smooth_correspondence()
        with pytest.raises(InputError, match='labels must have the shape'):
            lazy_labels(found, labels[1:])
        with pytest.raises(InputError, match='image must have the shape'):
            lazy_image(found, labels, to='source')
        with pytest.raises(InputError, match='to must be'):
            lazy_image(found, labels, to='both')  # type: ignore[arg-type]


@pytest.mark.usefixtures('small_pieces')
class TestReading:
    def test_a_much_smaller_result_reads_no_large_window(self) -> None:
        labels = np.random.default_rng(0).integers(0, 9, (900, 900))
        found = smooth_correspondence(labels.shape, (40, 40))
        kept = Chunked(labels, (64, 64))
        np.testing.assert_array_equal(
            found.warp_labels(kept), found.warp_labels(labels)
        )
        assert kept.largest <= warping.WIDEST_WINDOW * 32**2

    @pytest.mark.parametrize('axis', [None, 0, 1, 2])
    def test_bands_read_every_chunk_once(self, axis: int | None) -> None:
        sides, chunks = [400, 90], [64, 90]
        if axis is not None:
            sides.insert(axis, 3)
            chunks.insert(axis, 3)
        image = np.random.default_rng(0).integers(0, 255, sides, np.uint8)
        kept = Chunked(image, tuple(chunks))
        small = to_working(kept, size=64, channel_axis=axis)
        np.testing.assert_array_equal(
            small, to_working(image, size=64, channel_axis=axis)
        )
        assert sum(image[where].size for where in kept.read) == image.size

    def test_rows_across_chunks_are_joined(self) -> None:
        image = np.arange(70 * 5).reshape(70, 5)
        cache = RowCache(Chunked(image, (16, 5)), 0)
        for rows in (slice(0, 3), slice(14, 50), slice(64, 70)):
            np.testing.assert_array_equal(cache.rows(rows), image[rows])

    def test_chunks_of_any_library(self) -> None:
        da = pytest.importorskip('dask.array')
        zarr = pytest.importorskip('zarr')
        assert chunk_shape(np.zeros((5, 5))) is None
        assert chunk_shape(da.zeros((5, 6), chunks=(2, 4))) == (2, 4)
        sharded = zarr.create_array(
            zarr.storage.MemoryStore(),
            shape=(64, 64),
            chunks=(8, 8),
            shards=(32, 16),
            dtype='u1',
        )
        assert chunk_shape(sharded) == (32, 16)


def test_transferred_image_has_no_seams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (300, 200, 3), np.uint8)
    before = to_working(image, size=64)
    after = np.clip(before[::-1] * (1.2, 0.7, 0.9), 0, 1)
    monkeypatch.setattr(tiles, 'BLOCK_PIXELS', 1 << 30)
    whole = transfer_colors(image, before, after)
    plain = transfer_colors(image / 255.0, before, after)
    monkeypatch.setattr(tiles, 'BLOCK_PIXELS', 7 * 200)
    kept = Chunked(image, (64, 64, 3))
    np.testing.assert_array_equal(transfer_colors(kept, before, after), whole)
    # Blocks may be rounded apart, but by less than one step of 255.
    assert np.abs(whole / 255.0 - plain).max() < 0.51 / 255


def is_mapped(array: Any) -> bool:
    """Whether an array is a view of a file, over however many views."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['plain.tif', 'packed.tif', '.npy'])
def test_transfer_maps_what_is_large(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (150, 130, 3), np.uint8)
    marks = rng.integers(0, 9, (150, 130), np.int32)
    names = {}
    for name, array in (('image', image), ('marks', marks)):
        names[name] = str(tmp_path / f'{name}{kind}')
        if kind == '.npy':
            np.save(names[name], array)
        else:
            how = {} if kind == 'plain.tif' else {'compression': 'zlib'}
            tifffile.imwrite(names[name], array, **how)
    words = [
        *('transfer', names['image'], names['image'], '--labels'),
        *(names['marks'], '--size', '64', '--window', '5'),
        *('--iterations', '1', '--device', 'cpu'),
        *('--orientation', 'upright', '--out'),
    ]
    assert main([*words, str(tmp_path / 'small')]) == 0
    monkeypatch.setattr(lazy, 'MAPPED_BYTES', 1000)
    assert is_mapped(read_labels(names['marks']))
    assert main([*words, str(tmp_path / 'large')]) == 0
    for key, name in FILES.items():
        if key in ('overview', 'correspondence', 'warped_points'):
            continue
        first = tmp_path / 'small' / name
        second = tmp_path / 'large' / LARGE.get(key, name)
        if key == 'flow':
            assert first.read_bytes() == second.read_bytes()
        else:
            one, other = (read_image(path)[0] for path in (first, second))
            np.testing.assert_array_equal(one, other)
    first, second = (
        Correspondence.load(tmp_path / size / FILES['correspondence'])
        for size in ('small', 'large')
    )
    np.testing.assert_array_equal(first.transferred, second.transferred)
    # Whoever matches a small image next has none of the large files left.
    monkeypatch.undo()
    assert main([*words, str(tmp_path / 'large')]) == 0
    assert not (tmp_path / 'large' / LARGE['transferred']).exists()


@pytest.mark.parametrize('full', [False, True])
@pytest.mark.parametrize('reserves', [False, True])
def test_large_arrays_are_on_the_disk_if_it_has_room(
    full: bool, reserves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError('no space left on device')

    monkeypatch.setattr(lazy, 'MAPPED_BYTES', 1000)
    if not reserves:
        monkeypatch.delattr(os, 'posix_fallocate', raising=False)
        free = 100 if full else 10**9
        monkeypatch.setattr(
            lazy.shutil, 'disk_usage', lambda _: SimpleNamespace(free=free)
        )
    elif full:
        monkeypatch.setattr(os, 'posix_fallocate', no_room, raising=False)
    found = lazy.new_array((40, 50), np.int16)
    assert isinstance(found.base, np.memmap) is not full
    found[...] = 7
    assert found.sum() == 14000
    assert not isinstance(lazy.new_array((4, 5), np.int16).base, np.memmap)


_HUGE = """
import resource
import sys

import numpy as np

from tests_large import smooth_correspondence

SIDE = 16384


class Pattern:
    # Labels that are worked out when they are read.
    shape, dtype, chunks = (SIDE, SIDE), np.dtype(np.int32), (1024, 1024)

    def __getitem__(self, where):
        rows, columns = (np.arange(part.start, part.stop) for part in where)
        return (rows[:, None] // 64 * 256 + columns // 64).astype(np.int32)


class Sink:
    # Labels that are checked and forgotten.
    shape, dtype, chunks = (SIDE, SIDE), np.dtype(np.int32), (1024, 1024)
    pixels = wrong = 0

    def __setitem__(self, where, value):
        rows, columns = (np.arange(part.start, part.stop) for part in where)
        points = np.stack(np.broadcast_arrays(rows[::97, None],
                                              columns[::89]), axis=-1)
        at = found.warp_points(points.reshape(-1, 2), to='source') + 0.5
        # Rounding may go either way beside a border.
        clear = np.all(np.abs(at / 64 - np.rint(at / 64)) > 1e-3, axis=1)
        inside = np.all((at >= 0) & (at < SIDE), axis=1)
        cell = np.floor(at / 64)
        expected = np.where(inside, cell[:, 0] * 256 + cell[:, 1], 0)
        wrong = expected != value[::97, ::89].ravel()
        Sink.wrong += int((wrong & clear).sum())
        Sink.pixels += value.size


def peak():
    scale = 2**20 if sys.platform == 'darwin' else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


found = smooth_correspondence((SIDE, SIDE), (SIDE, SIDE))
before = peak()
found.warp_labels(Pattern(), out=Sink())
assert Sink.pixels == SIDE**2, Sink.pixels
assert Sink.wrong == 0, Sink.wrong
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == 'win32', reason='needs resource')
def test_sixteen_thousand_a_side_in_bounded_memory(tmp_path: Path) -> None:
    (tmp_path / 'tests_large.py').write_bytes(Path(__file__).read_bytes())
    (tmp_path / 'huge.py').write_text(_HUGE, encoding='utf-8')
    done = subprocess.run(
        [sys.executable, 'huge.py'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # The image and its result are 1 GB each; a core takes some tiles.
    assert float(done.stdout) < 600
