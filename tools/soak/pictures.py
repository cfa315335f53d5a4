"""Whole files of images and labels, each by the writer of its format."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soak.images import blobs

Make = Callable[[Path, np.random.Generator], None]


def pixels(rng: np.random.Generator, dtype: str = 'uint8') -> NDArray[Any]:
    """A small image of a random size, with or without colors."""
    rows, columns = (int(side) for side in rng.integers(1, 40, 2))
    channels = int(rng.choice([1, 3]))
    unit = blobs((rows, columns), channels, int(rng.integers(64)))
    top = 1.0 if np.dtype(dtype).kind == 'f' else np.iinfo(dtype).max
    image = (unit * top).astype(dtype)
    return image[..., 0] if channels == 1 else image


def write_npy(path: Path, rng: np.random.Generator) -> None:
    image = pixels(rng, str(rng.choice(['uint8', 'uint16', 'float32'])))
    np.save(path, np.asfortranarray(image) if rng.random() < 0.3 else image)


def write_tiff(path: Path, rng: np.random.Generator) -> None:
    import tifffile

    image = pixels(rng, str(rng.choice(['uint8', 'uint16', 'float32'])))
    options: dict[str, Any] = {
        'compression': [None, 'zlib', 'lzma'][int(rng.integers(3))],
        'photometric': 'rgb' if image.ndim == 3 else 'minisblack',
    }
    if rng.random() < 0.3:
        options['tile'] = (16, 16)
    if rng.random() < 0.2:
        options['bigtiff'] = True
    tifffile.imwrite(path, image, **options)


def picture_writer(kind: str) -> Make:
    def write(path: Path, rng: np.random.Generator) -> None:
        from PIL import Image

        picture = Image.fromarray(pixels(rng))
        mode = str(rng.choice(['L', 'RGB', 'P', '1', 'RGBA']))
        if kind in ('JPEG', 'PPM', 'JPEG2000', 'WEBP', 'AVIF') and mode != 'L':
            mode = 'RGB'
        if kind == 'BMP' and mode == 'RGBA':
            mode = 'RGB'
        made = io.BytesIO()
        picture.convert(mode).save(made, kind)
        path.write_bytes(made.getvalue())

    return write


def write_any_tiff(path: Path, rng: np.random.Generator) -> None:
    """Of any color space, depth and order, by tifffile or Pillow."""
    import tifffile
    from PIL import Image

    image = pixels(rng)
    if rng.random() < 0.4:
        mode = str(rng.choice(['CMYK', 'YCbCr', 'LAB', 'P', '1', 'LA', 'F']))
        picture = Image.fromarray(image).convert('RGB')
        picture = (
            picture.convert('L').convert(mode)
            if mode
            in (
                'LA',
                'F',
            )
            else picture.convert(mode)
        )
        packed = None if mode == '1' else 'tiff_lzw'
        picture.save(path, compression=packed, format='TIFF')
        return
    options: dict[str, Any] = {
        'byteorder': str(rng.choice(['<', '>'])),
        'compression': [None, 'zlib', 'lzw', 'packbits', 'zstd', 'jpeg'][
            int(rng.integers(6))
        ],
        'photometric': 'rgb' if image.ndim == 3 else 'miniswhite',
        'extratags': [(274, 3, 1, int(rng.integers(1, 9)), True)],
        'metadata': None,
    }
    if image.ndim == 3 and rng.random() < 0.5:
        image = np.moveaxis(image, -1, 0)
        options['planarconfig'] = 'separate'
    tifffile.imwrite(path, image, **options)


def write_painted(path: Path, rng: np.random.Generator) -> None:
    from PIL import Image

    colors = rng.integers(0, 256, (4, 3), np.uint8)
    labels = rng.integers(0, 4, (7, 9)).repeat(3, 0).repeat(3, 1)
    made = io.BytesIO()
    kind = {'.png': 'PNG', '.jpg': 'JPEG', '.webp': 'WEBP'}
    picture = Image.fromarray(colors[labels])
    if path.suffix == '.jp2':
        picture.save(made, 'JPEG2000', irreversible=bool(rng.integers(2)))
    else:
        picture.save(made, kind[path.suffix])
    path.write_bytes(made.getvalue())


def write_stack(path: Path, rng: np.random.Generator) -> None:
    import tifffile

    pages = np.stack([pixels(rng)] * 3)
    gray = pages.ndim == 3
    tifffile.imwrite(
        path,
        pages,
        photometric='minisblack' if gray else 'rgb',
        compression=[None, 'lzw'][int(rng.integers(2))],
    )


def write_heic(path: Path, rng: np.random.Generator) -> None:
    import pillow_heif
    from PIL import Image

    picture = Image.fromarray(pixels(rng)).convert('RGB').resize((64, 64))
    pillow_heif.from_pillow(picture).save(path, quality=80)


def write_dicom(path: Path, rng: np.random.Generator) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # Secondary capture.
    data.file_meta.MediaStorageSOPClassUID = '1.2.840.10008.5.1.4.1.1.7'
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Rows, data.Columns, data.SamplesPerPixel = 20, 30, 1
    data.PhotometricInterpretation = str(
        rng.choice(['MONOCHROME1', 'MONOCHROME2'])
    )
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = 0
    data.RescaleSlope, data.RescaleIntercept = 1, -1000
    data.PixelData = rng.integers(0, 4096, (20, 30), np.uint16).tobytes()
    data.save_as(path, enforce_file_format=True)


def write_npz(path: Path, rng: np.random.Generator) -> None:
    """One array, compressed or not."""
    save = np.savez_compressed if rng.random() < 0.5 else np.savez
    save(path, image=pixels(rng))


def write_volume(path: Path, rng: np.random.Generator) -> None:
    """Three planes, by SimpleITK; their kind is told by the name."""
    import SimpleITK

    planes = rng.integers(0, 999, (3, 20, 30), np.uint16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(planes), str(path))
