"""Mask files are checked before they become layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from PIL import Image as Picture

from napari_samnet.errors import InputError
from napari_samnet.io.formats.registry import write_label_format
from napari_samnet.plugin.layers.maskfiles import read_mask
from napari_samnet.plugin.model.grids import Grid, grid_of
from napari_samnet.plugin.model.remedies import RefusalError


@pytest.fixture
def grid() -> Grid:
    return grid_of(Image(np.zeros((6, 8))))


@pytest.fixture
def stack() -> Grid:
    return grid_of(Image(np.zeros((3, 6, 8))))


def save(path: Path, array: np.ndarray) -> str:
    if path.suffix == '.npy':
        np.save(path, array)
    elif path.suffix == '.tif':
        tifffile.imwrite(path, array, photometric='minisblack')
    else:
        Picture.fromarray(array).save(path)
    return str(path)


@pytest.mark.parametrize('suffix', ['.png', '.tif', '.npy'])
def test_masks_keep_ids_and_dtype(
    tmp_path: Path, grid: Grid, suffix: str
) -> None:
    mask = np.arange(48, dtype=np.uint8).reshape(6, 8)
    read = read_mask(save(tmp_path / f'mask{suffix}', mask), grid).labels
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, mask)


def test_a_black_and_white_mask_becomes_numbers(
    tmp_path: Path, grid: Grid
) -> None:
    mask = np.eye(6, 8, dtype=bool)
    read = read_mask(save(tmp_path / 'mask.npy', mask), grid).labels
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, mask)


@pytest.mark.parametrize(
    ('array', 'reason'),
    [
        (np.full((6, 8), 0.5, np.float32), 'whole numbers, got float32'),
        (np.zeros((5, 8), np.uint8), 'is 5 × 8, the source 6 × 8'),
    ],
)
def test_what_is_no_mask_is_refused(
    tmp_path: Path, grid: Grid, array: Any, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        read_mask(save(tmp_path / 'mask.tif', array), grid)


def test_painted_labels_say_their_colors(tmp_path: Path, grid: Grid) -> None:
    painted = np.zeros((6, 8, 3), np.uint8)
    painted[2:4, 2:5, 0] = 255
    read = read_mask(save(tmp_path / 'mask.png', painted), grid)
    np.testing.assert_array_equal(read.labels, painted[..., 0] > 0)
    assert read.colors == {1: (255, 0, 0)}
    assert '1 color found' in read.notices[0]


def test_a_missing_file_is_refused(tmp_path: Path, grid: Grid) -> None:
    with pytest.raises(InputError, match='no file'):
        read_mask(str(tmp_path / 'none.png'), grid)


@pytest.mark.parametrize('suffix', ['.tif', '.npy'])
@pytest.mark.parametrize('shape', [(3, 6, 8), (6, 8)])
def test_stacks_take_stacks_and_single_planes(
    tmp_path: Path, stack: Grid, suffix: str, shape: tuple[int, ...]
) -> None:
    mask = np.ones(shape, np.uint16)
    path = save(tmp_path / f'mask{suffix}', mask)
    np.testing.assert_array_equal(read_mask(path, stack).labels, mask)


def test_whole_float_stacks_are_taken(tmp_path: Path, stack: Grid) -> None:
    path = save(tmp_path / 'mask.tif', np.full((3, 6, 8), 7, np.float32))
    read = read_mask(path, stack).labels
    assert read.dtype == np.uint8
    assert (read == 7).all()


def test_other_float_stacks_are_refused(tmp_path: Path, stack: Grid) -> None:
    path = save(tmp_path / 'mask.tif', np.full((3, 6, 8), 0.5, np.float32))
    with pytest.raises(InputError, match='whole numbers'):
        read_mask(path, stack)


def test_damaged_stacks_are_refused(tmp_path: Path, stack: Grid) -> None:
    path = tmp_path / 'mask.npy'
    path.write_bytes(b'no array')
    with pytest.raises(InputError, match='cannot be read'):
        read_mask(str(path), stack)


@pytest.mark.parametrize('kind', ['coco', 'geojson', 'roi', 'labelme'])
def test_outlines_of_other_programs(
    tmp_path: Path, grid: Grid, stack: Grid, kind: str
) -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[1:4, 2:6] = 7
    path = tmp_path / 'mask'
    write_label_format(path, mask, kind, image='a.png', names={7: 'leaf'})
    for each in (grid, stack):
        read = read_mask(str(path), each)
        np.testing.assert_array_equal(read.labels, mask)
        assert read.names == {7: 'leaf'}


def test_a_file_about_many_images(tmp_path: Path, grid: Grid) -> None:
    images = [{'id': k, 'file_name': f'{k}.jpg'} for k in (1, 2)]
    annotations = [
        {'id': 10 * k, 'image_id': k, 'bbox': [k, 1, 2, 2]} for k in (1, 2)
    ]
    path = tmp_path / 'all.json'
    path.write_text(json.dumps({'images': images, 'annotations': annotations}))
    read = read_mask(str(path), grid, image='2')
    assert set(np.unique(read.labels)) == {0, 20}
    with pytest.raises(InputError, match='none of them named 3'):
        read_mask(str(path), grid, image='3')


def test_micrometers_by_the_scale_of_the_layer(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[1:4, 2:6] = 7
    path = tmp_path / 'mask.geojson'
    write_label_format(path, mask, 'geojson', image='a.png')
    content = json.loads(path.read_text())
    ring = content['features'][0]['geometry']['coordinates'][0]
    ring[:] = [[4 * x, 4 * y] for x, y in ring]
    path.write_text(json.dumps(content))
    layer = Image(np.zeros((6, 8)), scale=(4000, 4000), units=('nm', 'nm'))
    read = read_mask(str(path), grid_of(layer))
    np.testing.assert_array_equal(read.labels, mask)
    assert 'micrometers' in read.notices[0]


def test_regions_of_imagej_lie_on_their_planes(
    tmp_path: Path, stack: Grid, grid: Grid
) -> None:
    roifile = pytest.importorskip('roifile')
    rois = []
    for name, position in (('label 9', 1), ('label 9', 3), ('cell', 3)):
        left = 5 if name == 'cell' else 1
        corners = [[left, 1], [left + 2, 1], [left + 2, 3], [left, 3]]
        roi = roifile.ImagejRoi.frompoints(np.array(corners, float))
        roi.name, roi.position = name, position
        rois.append(roi)
    path = tmp_path / 'RoiSet.zip'
    roifile.roiwrite(path, rois, name=['a', 'b', 'c'])
    labels = read_mask(str(path), stack).labels
    assert [np.unique(plane).tolist() for plane in labels] == [
        [0, 9],
        [0],
        [0, 1, 9],
    ]
    with pytest.raises(RefusalError, match='choose a plane'):
        read_mask(str(path), grid)
    assert set(np.unique(read_mask(str(path), grid, page=0).labels)) == {0, 9}


def test_label_images_of_ome_zarr_plane_by_plane(
    tmp_path: Path, stack: Grid, grid: Grid
) -> None:
    zarr = pytest.importorskip('zarr')
    writer = pytest.importorskip('ome_zarr.writer')
    labels = np.zeros((3, 6, 8), np.uint16)
    labels[1, 2:4, 3:6] = 300
    path = tmp_path / 'cells.zarr'
    group = zarr.open_group(path, mode='w')
    writer.write_labels(
        labels[None],
        group,
        name='cells',
        axes='czyx',
        scaler=None,
        scale_factors=[],
    )
    np.testing.assert_array_equal(read_mask(str(path), stack).labels, labels)
    with pytest.raises(RefusalError, match='choose a plane'):
        read_mask(str(path), grid)
    read = read_mask(str(path), grid, page=1)
    np.testing.assert_array_equal(read.labels, labels[1])
