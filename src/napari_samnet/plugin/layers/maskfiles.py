"""Masks from files, checked before they become layers.

napari opens a mask as an image, an RGB picture given as labels as a stack of
three, and fails on float; none of that may happen to a dropped file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_samnet.errors import InputError
from napari_samnet.io.picture import LabelPicture
from napari_samnet.plugin.model.conversion import stretched
from napari_samnet.plugin.model.grids import Grid, sizes
from napari_samnet.plugin.model.remedies import (
    PLANE,
    RESAMPLE,
    RefusalError,
    Remedy,
)
from napari_samnet.plugin.model.units import pixel_micrometers

#: Rows and columns by which a picture of another resolution may be off.
ROUNDED = 1.0


def read_mask(
    path: str,
    grid: Grid,
    *,
    page: int | None = None,
    resample: bool = False,
    image: str = '',
) -> LabelPicture:
    """Read a mask that fits an image.

    ``page``: plane of a file that holds several, from 0; by default such a
    file must hold as many planes as the image.
    ``resample``: whether a mask of another resolution is brought to that of
    the image, nearest neighbor.
    ``image``: name of the image's file, for files about several images.
    Returns: Labels of the grid's shape, or of its planes', with colors and
    notices.
    Raises InputError if it is not a mask, or one of another image.
    """
    read = None
    if grid.leading and page is None:
        read = _read_stack(path, grid)
    if read is None:
        try:
            read = _read_plane(path, grid, page, image)
        except InputError as error:
            if page is None and _has_planes(path, grid):
                raise RefusalError(
                    f'labels: {Path(path).name} has more planes than one, '
                    f'the source is {sizes(grid.shape)}: choose a plane of '
                    f'the file',
                    Remedy(PLANE, path),
                ) from error
            raise
    labels = read.labels
    if labels.shape not in (grid.shape, grid.plane_shape):
        said = (
            f'labels: {Path(path).name} is {sizes(labels.shape)}, the '
            f'source {sizes(grid.shape)}'
        )
        if not _shows_all(labels.shape, grid.plane_shape):
            raise InputError(f'{said}; expected a mask of the source')
        if not resample:
            raise RefusalError(
                f'{said}: resample it if it shows all of the source',
                Remedy(RESAMPLE, path),
            )
        labels = stretched(labels, grid.plane_shape)
        read = replace(read, labels=labels)
    # napari's labels hold numbers.
    if labels.dtype == bool:
        return replace(read, labels=labels.astype(np.uint8))
    return read


def _shows_all(mask: tuple[int, ...], image: tuple[int, int]) -> bool:
    """Whether a mask has the proportions of an image."""
    if len(mask) != 2:
        return False
    scale = max(image) / max(mask)
    return all(
        abs(other - scale * size) <= ROUNDED * max(scale, 1)
        for size, other in zip(mask, image, strict=True)
    )


def _read_plane(
    path: str, grid: Grid, page: int | None, image: str = ''
) -> LabelPicture:
    """Labels of one plane, in a format of another program or a picture."""
    from napari_samnet.io.formats.registry import format_of, read_label_format
    from napari_samnet.io.label_files import read_label_picture

    if not format_of(Path(path)):
        return read_label_picture(path, page=page)
    size = pixel_micrometers(
        grid.spatial['scale'][-2:], grid.spatial['units'][-2:]
    )
    return read_label_format(
        Path(path), grid.plane_shape, image=image, page=page, pixel_size=size
    )


def _has_planes(path: str, grid: Grid) -> bool:
    """Whether a file is refused only as long as no plane is chosen."""
    try:
        _read_plane(path, grid, 0)
    except InputError:
        return False
    return True


def _region_stack(path: str, grid: Grid) -> LabelPicture | None:
    """Regions of ImageJ, each on the plane that it was drawn on.

    Returns: None where they do not say.
    """
    from napari_samnet.io.formats.imagej import read_rois

    objects, _ = read_rois(Path(path), Path(path).name)
    if all(each.plane is None for each in objects):
        return None
    planes = [_read_plane(path, grid, page) for page in range(*grid.leading)]
    notices = dict.fromkeys(said for each in planes for said in each.notices)
    return LabelPicture(
        labels=np.stack([each.labels for each in planes]),
        notices=tuple(notices),
        colors={k: v for x in planes for k, v in (x.colors or {}).items()},
        names={k: v for x in planes for k, v in (x.names or {}).items()},
    )


def _read_folder(folder: Path, grid: Grid) -> LabelPicture:
    """Labels of a folder with one mask for each plane."""
    from napari_samnet.plugin.layers.maskfolders import read_mask_folder

    if len(grid.leading) > 1:
        raise InputError(
            f'labels: {folder} is a folder, and the source has planes on '
            f'{len(grid.leading)} axes: expected one file, {sizes(grid.shape)}'
        )
    return read_mask_folder(folder, grid)


def _read_stack(path: str, grid: Grid) -> LabelPicture | None:
    """Labels of a file that holds such a stack, None if it does not."""
    from napari_samnet.io.formats.ome_zarr import read_label_stack
    from napari_samnet.io.formats.registry import format_of
    from napari_samnet.io.image_files import read_stack
    from napari_samnet.io.label_numbers import whole
    from napari_samnet.io.zarr_files import is_zarr

    if Path(path).is_dir() and not is_zarr(Path(path)):
        return _read_folder(Path(path), grid)
    if is_zarr(Path(path)):
        return read_label_stack(Path(path), 'labels', grid.shape)
    if format_of(Path(path)) == 'roi' and len(grid.leading) == 1:
        return _region_stack(path, grid)
    if format_of(Path(path)):
        return None
    stack = read_stack(path, name='labels')
    if stack is None or stack.shape != grid.shape:
        return None
    labels, notices = whole(stack, 'labels', path)
    return LabelPicture(labels=labels, notices=notices)
