"""One whole file of every format that is read, and its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from soak.pictures import (
    picture_writer,
    write_any_tiff,
    write_dicom,
    write_heic,
    write_npy,
    write_npz,
    write_painted,
    write_stack,
    write_tiff,
    write_volume,
)

Make = Callable[[Path, np.random.Generator], None]


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    #: What the report calls it.
    name: str
    #: Of the file's name.
    suffix: str
    #: Writes a whole file, with the given random numbers.
    make: Make
    #: Reads one: returns, or raises InputError.
    read: Callable[[Path], Any]
    #: How often it is tried, relative to others.
    share: float = 1.0
    #: Whether it is written by this package, whole or not at all.
    ours: bool = False


def some_correspondence(rng: np.random.Generator) -> Any:
    """A correspondence made of random numbers.

    ``rng``: source of randomness; the same state gives the same fields.
    """
    from napari_samnet.correspondence import Correspondence

    sides = [int(side) for side in rng.integers(1, 40, 4)]
    source, target = (sides[0], sides[1]), (sides[2], sides[3])
    fields = [rng.normal(size=(4, 5, 2)).astype(np.float32) for _ in range(2)]
    trust = [rng.random((4, 5)).astype(np.float32) for _ in range(2)]
    return Correspondence(
        forward=fields[0],
        backward=fields[1],
        forward_cell_confidence=trust[0],
        backward_cell_confidence=trust[1],
        source_shape=source,
        target_shape=target,
        transferred=rng.integers(0, 255, (*source, 3), np.uint8),
        warped_labels=rng.integers(0, 9, target, np.int32),
        metadata={'changes': [1.5, 0.25], 'options': {'window': 9}},
    )


def _write_flow(path: Path, rng: np.random.Generator) -> None:
    from napari_samnet.io.flo import write_flo

    sides = [int(side) for side in rng.integers(1, 30, 2)]
    write_flo(path, rng.normal(size=(*sides, 2)))


def _read_flow(path: Path) -> Any:
    from napari_samnet.io.flo import read_flo

    return read_flo(path)


def _write_correspondence(path: Path, rng: np.random.Generator) -> None:
    some_correspondence(rng).save(path)


def _read_correspondence(path: Path) -> Any:
    from napari_samnet.correspondence import Correspondence

    return Correspondence.load(path)


def _read_image(path: Path) -> Any:
    from napari_samnet.images.rgb import check_image
    from napari_samnet.io.image_files import read_image

    image, axis = read_image(path)
    return check_image(image, channel_axis=axis)


def _read_page(path: Path) -> Any:
    from napari_samnet.io.image_files import read_picture

    return read_picture(path, page=1).pixels


#: Rows and columns of the images that outlines are for.
_OUTLINED = (24, 30)


def _label_writer(kind: str) -> Make:
    def write(path: Path, rng: np.random.Generator) -> None:
        from napari_samnet.io.formats.registry import write_label_format

        small = rng.integers(0, 5, (_OUTLINED[0] // 6, _OUTLINED[1] // 6))
        labels = small.repeat(6, 0).repeat(6, 1)
        colors = {k: (k, 2 * k, 255 - k) for k in range(1, 5)}
        write_label_format(
            path, labels, kind, image='a.png', names={1: 'x'}, colors=colors
        )

    return write


def _read_label_format(path: Path) -> Any:
    from napari_samnet.io.formats.registry import read_label_format

    return read_label_format(path, _OUTLINED, image='a.png')


def _read_labels(path: Path) -> Any:
    from napari_samnet.io.label_files import read_labels

    return read_labels(path)


def _write_weights(path: Path, rng: np.random.Generator) -> None:  # noqa: ARG001
    from napari_samnet.runtime.weights import get_weights

    # The file alone, without the card whose hash would refuse any damage.
    path.write_bytes(get_weights('samnet').path.read_bytes())


def _read_weights(path: Path) -> Any:
    from napari_samnet.runtime.weights import get_weights, read_model

    return read_model(get_weights(path).path)


def _run(folder: Path) -> Any:
    from torch import nn

    from napari_samnet.training.loop import Run

    return Run(
        stage='fuzzed',
        trained=nn.Linear(3, 2),
        total=9,
        rate=0.1,
        folder=folder,
    )


def _write_checkpoint(path: Path, rng: np.random.Generator) -> None:  # noqa: ARG001
    run = _run(path.parent)
    run.save()
    run.checkpoint.replace(path)


def _read_checkpoint(path: Path) -> Any:
    run = _run(path.parent)
    path.replace(run.checkpoint)
    try:
        return run.resume()
    finally:
        run.checkpoint.replace(path)


def formats() -> list[Format]:
    """Every format that can be written here."""
    from PIL import Image

    known = [
        Format('flow', '.flo', _write_flow, _read_flow, ours=True),
        Format(
            'correspondence',
            '.npz',
            _write_correspondence,
            _read_correspondence,
            3.0,
            ours=True,
        ),
        Format('npy image', '.npy', write_npy, _read_image),
        Format('npz image', '.npz', write_npz, _read_image),
        Format('npz labels', '.npz', write_npz, _read_labels),
        Format('npy labels', '.npy', write_npy, _read_labels),
        Format('tiff image', '.tif', write_tiff, _read_image, 3.0),
        Format('tiff labels', '.tif', write_tiff, _read_labels),
        Format('png labels', '.png', picture_writer('PNG'), _read_labels, 1.0),
        Format('any tiff', '.tif', write_any_tiff, _read_image, 2.0),
        Format('any tiff labels', '.tif', write_any_tiff, _read_labels),
        Format('painted labels', '.png', write_painted, _read_labels),
        Format('blurred labels', '.jpg', write_painted, _read_labels),
        Format('webp labels', '.webp', write_painted, _read_labels),
        Format('jp2 labels', '.jp2', write_painted, _read_labels),
        Format('page of a stack', '.tif', write_stack, _read_page),
        # As large as the network: reading one takes a while.
        Format('weights', '.safetensors', _write_weights, _read_weights, 0.05),
        Format(
            'checkpoint', '.safetensors', _write_checkpoint, _read_checkpoint
        ),
    ]
    if find_spec('shapely') and find_spec('pycocotools'):
        known += [
            Format(
                f'{kind} labels',
                suffix,
                _label_writer(kind),
                _read_label_format,
            )
            for kind, suffix in (
                ('coco', '.json'),
                ('labelme', '.json'),
                ('geojson', '.geojson'),
                ('yolo', '.txt'),
                ('roi', '.zip'),
            )
        ]
    if find_spec('pillow_heif'):
        known.append(Format('heic image', '.heic', write_heic, _read_image))
    if find_spec('pydicom'):
        known.append(Format('dicom image', '.dcm', write_dicom, _read_image))
    if find_spec('SimpleITK'):
        known += [
            Format(f'{suffix[1:]} volume', suffix, write_volume, _read_page)
            for suffix in ('.nrrd', '.mha', '.nii.gz')
        ]
    Image.init()
    for kind, suffix in (
        ('PNG', '.png'),
        ('JPEG', '.jpg'),
        ('GIF', '.gif'),
        ('BMP', '.bmp'),
        ('PPM', '.ppm'),
        ('WEBP', '.webp'),
        ('JPEG2000', '.jp2'),
        ('AVIF', '.avif'),
    ):
        if kind in Image.OPEN and kind in Image.SAVE:
            known.append(
                Format(
                    f'{kind.lower()} image',
                    suffix,
                    picture_writer(kind),
                    _read_image,
                    2.0 if kind == 'PNG' else 1.0,
                )
            )
    return known
