"""Files from anywhere: nothing of them is run, and no claim is believed."""

from __future__ import annotations

import ast
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from soak import formats, fuzz
from soak.__main__ import main
from soak.leaks import peak_memory

import napari_samnet
from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.io.flo import read_flo
from napari_samnet.io.image_files import read_image, read_stack
from napari_samnet.io.label_files import read_labels
from napari_samnet.io.npz import read_member
from napari_samnet.runtime.weights import read_model

SOURCES = sorted(Path(napari_samnet.__file__).parent.rglob('*.py'))

READERS: dict[str, Callable[[Path], Any]] = {
    'image': read_image,
    'labels': read_labels,
    'stack': read_stack,
    'flow': read_flo,
    'correspondence': Correspondence.load,
    'member': lambda path: read_member(path, 'flow32'),
    'weights': read_model,
}

#: Bytes that refusing a file may take.
LITTLE = 64 * 2**20


def refused(read: Callable[[Path], Any], path: Path) -> str:
    """Reading is one line that names the file, and takes no memory."""
    before = peak_memory()
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert path.name in message
    assert '\n' not in message
    assert peak_memory() - before < LITTLE
    return message


class TestPickle:
    #: Modules that read code or objects from files.
    BANNED = ('pickle', 'cPickle', 'dill', 'joblib', 'shelve', 'marshal')
    #: Functions that do, or that fetch what they read.
    CALLS = ('eval', 'exec', 'urlretrieve')

    @pytest.mark.parametrize(
        'path', SOURCES, ids=lambda path: '/'.join(path.parts[-2:])
    )
    def test_is_nowhere(self, path: Path) -> None:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or '']
            elif isinstance(node, ast.Call):
                names = []
                self.check_call(node)
            else:
                continue
            assert not {n.split('.')[0] for n in names} & {*self.BANNED}

    def check_call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func)
        # A network's own eval() is a method.
        assert called not in self.CALLS
        assert called.split('.')[-1] not in self.CALLS[2:]
        assert called not in ('torch.load', 'torch.hub.load')
        keywords = {key.arg: key.value for key in node.keywords}
        if called.endswith('load_state_dict_from_url'):
            # The one download: by its hash, and tensors alone.
            for name in ('check_hash', 'weights_only'):
                assert ast.unparse(keywords[name]) == 'True'
        if called in ('np.load', 'numpy.load'):
            allowed = keywords.get('allow_pickle')
            # Memory maps never hold objects.
            mapped = 'mmap_mode' in keywords
            assert mapped or ast.unparse(allowed or node) == 'False', called
        if 'allow_pickle' in keywords:
            assert ast.unparse(keywords['allow_pickle']) == 'False'

    @pytest.mark.parametrize('reader', READERS)
    @pytest.mark.parametrize(
        'name',
        [
            'trap.npy',
            'trap.npz',
            'trap.pt',
            'trap.pkl',
            'trap.tif',
            'trap.png',
            'trap.flo',
            'trap.safetensors',
        ],
    )
    def test_is_refused_and_not_run(
        self, tmp_path: Path, reader: str, name: str
    ) -> None:
        mark = tmp_path / 'was-run'

        class Trap:
            def __reduce__(self) -> tuple[Callable[[Path], None], Any]:
                return Path.touch, (mark,)

        path = tmp_path / name
        objects = np.array([Trap()], object)
        if name.endswith('npy'):
            np.save(path, objects, allow_pickle=True)
        elif name.endswith('npz'):
            np.savez(path, flow32=objects, header=objects, forward=objects)
        elif name.endswith('pt'):
            torch.save({'x': Trap()}, path)
        else:
            path.write_bytes(pickle.dumps(Trap()))
        if reader == 'stack' and path.suffix not in ('.npy', '.npz', '.pt'):
            assert read_stack(path) is None
        else:
            refused(READERS[reader], path)
        assert not mark.exists()


def chunk(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(kind + body)
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', crc)


def png(path: Path, side: int, *, content: int) -> None:
    """A gray picture of zeros that claims one size and holds another."""
    packed = zlib.compress(bytes(content), 9)
    head = struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', head)
        + chunk(b'IDAT', packed)
        + chunk(b'IEND', b'')
    )


def npy_header(shape: tuple[int, ...], dtype: str = '|u1') -> bytes:
    text = repr({'descr': dtype, 'fortran_order': False, 'shape': shape})
    text += ' ' * (-(len(text) + 11) % 64) + '\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text.encode()


class TestClaims:
    """A header says how large its content is: more than there is."""

    @pytest.mark.parametrize(
        'shape', [(1 << 20, 1 << 20), (1 << 62, 4), (10**9,), (-4, -4)]
    )
    def test_npy(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        path = tmp_path / 'large.npy'
        path.write_bytes(npy_header(shape) + bytes(100))
        for read in (read_image, read_labels, read_stack):
            assert 'claims shape' in refused(read, path)

    @pytest.mark.parametrize(
        'sides', [(2**31 - 1,) * 2, (-1, 5), (1 << 20,) * 2]
    )
    def test_flo(self, tmp_path: Path, sides: tuple[int, int]) -> None:
        path = tmp_path / 'large.flo'
        path.write_bytes(struct.pack('<fii', 202021.25, *sides) + bytes(64))
        assert 'header says' in refused(read_flo, path)

    def test_tiff(self, tmp_path: Path) -> None:
        path = tmp_path / 'large.tif'
        tifffile.imwrite(path, np.zeros((16, 16), np.uint8))
        raw = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as content:
            tags = content.pages[0].tags
            places = [
                tags[name].valueoffset
                for name in ('ImageLength', 'ImageWidth', 'RowsPerStrip')
            ]
        for place in places:
            size = 4 if place == places[0] else 2
            raw[place : place + size] = (1 << 15).to_bytes(size, 'little')
        path.write_bytes(raw)
        for read in (read_image, read_labels, read_stack):
            refused(read, path)

    def test_png(self, tmp_path: Path) -> None:
        path = tmp_path / 'large.png'
        png(path, 9_000, content=100)
        assert 'cannot hold' in refused(read_image, path)

    @pytest.mark.parametrize('suffix', ['.bmp', '.gif', '.jpg', '.ppm'])
    def test_other_pictures(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f'large{suffix}'
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(path)
        raw = bytearray(path.read_bytes())
        at = {'.bmp': 18, '.gif': 6, '.jpg': raw.find(b'\xff\xc0') + 5}
        if suffix == '.ppm':
            raw = raw.replace(b'16 16', b'65000 65000')
        elif suffix == '.bmp':
            raw[18:26] = struct.pack('<ii', 65000, 65000)
        else:
            order = '<' if suffix == '.gif' else '>'
            raw[at[suffix] : at[suffix] + 4] = struct.pack(
                f'{order}HH', 65000, 65000
            )
        path.write_bytes(raw)
        refused(read_image, path)

    @pytest.mark.parametrize(
        'header',
        [
            (1 << 62, b'{}'),
            (100_000_001, b'{}'),
            (
                None,
                {
                    'x': {
                        'dtype': 'F32',
                        'shape': [1 << 40],
                        'data_offsets': [0, 1 << 42],
                    }
                },
            ),
            (
                None,
                {
                    'x': {
                        'dtype': 'F32',
                        'shape': [1 << 62, 1 << 62],
                        'data_offsets': [0, 16],
                    }
                },
            ),
            (None, b'[' * 100_000),
            (
                None,
                {
                    '__metadata__': {
                        'format': 'napari-samnet-1',
                        'config': '[' * 100_000,
                    }
                },
            ),
        ],
        ids=['length', 'long', 'offsets', 'overflow', 'depth', 'config'],
    )
    def test_safetensors(self, tmp_path: Path, header: Any) -> None:
        length, content = header
        text = (
            content
            if isinstance(content, bytes)
            else json.dumps(content).encode()
        )
        path = tmp_path / 'large.safetensors'
        size = len(text) if length is None else length
        path.write_bytes(struct.pack('<Q', size) + text + bytes(16))
        refused(read_model, path)


class TestBombs:
    """A little that unpacks to very much."""

    def test_png(self, tmp_path: Path) -> None:
        # 30,000 x 30,000 zeros are 0.9 MB in a file and 0.9 GB in memory:
        # an honest mask may be so. With one more zero it is refused.
        path = tmp_path / 'bomb.png'
        png(path, 90_000, content=1 << 22)
        refused(read_image, path)

    @pytest.mark.slow
    @pytest.mark.parametrize('compression', ['zlib', 'lzma'])
    def test_tiff_segment(self, tmp_path: Path, compression: str) -> None:
        path = tmp_path / 'bomb.tif'
        tifffile.imwrite(
            path,
            np.zeros((16_384, 16_384), np.uint8),
            compression=compression,
            rowsperstrip=16_384,
            photometric='minisblack',
        )
        raw = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as content:
            tags = content.pages[0].tags
            for name in ('ImageLength', 'ImageWidth', 'RowsPerStrip'):
                at = tags[name].valueoffset
                size = {3: 2, 4: 4}[int(tags[name].dtype)]
                raw[at : at + size] = (16).to_bytes(size, 'little')
        path.write_bytes(raw)
        message = refused(read_image, path)
        assert 'bomb' in message

    @pytest.mark.slow
    def test_npz(self, tmp_path: Path) -> None:
        path = tmp_path / 'bomb.npz'
        shape = (1 << 14, 1 << 15)
        with (
            zipfile.ZipFile(path, 'w', zipfile.ZIP_BZIP2) as archive,
            archive.open('flow32.npy', 'w') as member,
        ):
            member.write(npy_header(shape))
            zeros = bytes(1 << 22)
            for _ in range(1 << 7):
                member.write(zeros)
        assert path.stat().st_size < 10_000
        refused(READERS['member'], path)
        refused(Correspondence.load, path)

    def test_an_honest_archive_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / 'flow.npz'
        flow = np.arange(24, dtype=np.int16).reshape(3, 4, 2)
        for array in (flow, np.asfortranarray(flow)):
            np.savez_compressed(path, flow32=array)
            np.testing.assert_array_equal(read_member(path, 'flow32'), flow)


class TestFuzz:
    @pytest.mark.slow
    def test_damaged_files_are_read_or_refused(self) -> None:
        report = fuzz.fuzz(250, seed=1)
        assert report.failures == []
        assert report.files == 250
        assert report.refused.total() > 100
        assert report.read.total() > 10

    def test_is_the_same_for_a_seed(self) -> None:
        one, other, another = (fuzz.fuzz(25, seed=k) for k in (5, 5, 6))
        assert (one.read, one.refused) == (other.read, other.refused)
        assert (one.read, one.refused) != (another.read, another.refused)

    @pytest.mark.parametrize(
        ('error', 'says'),
        [
            (KeyError('tag'), 'KeyError'),
            (InputError('two\nlines'), 'more than one line'),
            (InputError('damaged'), 'does not name the file'),
        ],
    )
    def test_finds_a_reader_that_fails(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        error: Exception,
        says: str,
    ) -> None:
        def fail(path: Path) -> None:
            raise error

        kind = formats.Format('flow', '.flo', formats._write_flow, fail)
        monkeypatch.setattr(fuzz, 'formats', lambda: [kind])
        keep = tmp_path / 'kept'
        status = main(['fuzz', '--files', '3', '--keep', str(keep)])
        assert status == 1
        out = capsys.readouterr().out
        assert '3 not as promised' in out
        assert says in out
        assert len(list(keep.iterdir())) == 3

    @pytest.mark.slow
    def test_from_the_command_line(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(['fuzz', '--files', '20', '--json']) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts['files'] == 20
        assert facts['failures'] == []
        assert main(['fuzz', '--files', '0']) == 2
