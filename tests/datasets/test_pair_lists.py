from __future__ import annotations

import numpy as np
import pytest

from napari_samnet.datasets.pair_lists import (
    read_images,
    read_keypoint_pairs,
    read_mask_pairs,
)
from napari_samnet.errors import InputError

HEADER = 'extra,source,target,category,XA,YA,XB,YB,src_w,src_h,trg_w,trg_h'


def test_keypoints_are_rows_and_columns(two_images, write_list):
    file = write_list(
        HEADER, 'x,a.png,b.png,car,1;2;3,4;5;6,7;8;9,1;1;2,80,60,40,30'
    )
    (pair,) = read_keypoint_pairs(file, two_images)
    assert pair.category == 'car'
    assert pair.source_points.tolist() == [[4, 1], [5, 2], [6, 3]]
    assert pair.target_points.tolist() == [[1, 7], [1, 8], [2, 9]]
    assert pair.source_shape == (60, 80)
    assert pair.target_shape == (30, 40)
    assert pair.target_box is None


def test_published_column_names_are_understood(two_images, write_list):
    file = write_list(
        'source_image,target_image,class,XA,YA,XB,YB',
        'a.png,b.png,3,1;2,4;5,7;8,1;1',
    )
    (pair,) = read_keypoint_pairs(file, two_images)
    assert pair.source.name == 'a.png'
    assert pair.category == '3'
    assert pair.source_shape is None


def test_one_column_per_coordinate(two_images, write_list):
    names = [
        f'{axis}{image}{number}'
        for image in 'AB'
        for axis in 'XY'
        for number in range(3)
    ]
    file = write_list(
        ','.join(['imageA', 'imageB', *names]),
        'a.png,b.png,1,2,3,4,5,6,7,8,9,10,11,12',
    )
    (pair,) = read_keypoint_pairs(file, two_images)
    assert pair.source_points.tolist() == [[4, 1], [5, 2], [6, 3]]
    assert pair.target_points.tolist() == [[10, 7], [11, 8], [12, 9]]


def test_absent_points_never_enter(two_images, write_list):
    file = write_list(
        'source,target,XA,YA,XB,YB', 'a.png,b.png,1;-1;3,4;-1;6,7;8;nan,1;1;1'
    )
    (pair,) = read_keypoint_pairs(file, two_images)
    assert pair.source_points.tolist() == [[4, 1]]
    assert np.isfinite(pair.target_points).all()


def test_masks_and_their_group(two_images, write_list):
    file = write_list(
        'tag,source,target,source_mask,target_mask',
        'similar,a.png,b.png,a.png,b.png',
    )
    (pair,) = read_mask_pairs(file, two_images)
    assert pair.tag == 'similar'
    assert pair.target_mask == two_images / 'b.png'


def test_images(two_images, write_list):
    file = write_list('category,file', 'x,a.png', '', 'y,b.png')
    images = read_images(file, two_images)
    assert [(image.name, image.category) for image in images] == [
        ('a.png', 'x'),
        ('b.png', 'y'),
    ]


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ('a.png,b.png,1;2,4,7;8,1;1', r'line 3.*equally many.*2, 1, 2, 2'),
        ('a.png,b.png,1;two,4;5,7;8,1;1', r'line 3.*XA must be numbers'),
        ('a.png,b.png,1;2,4;5,7;8', r'line 3.*expected 6 values, got 5'),
        ('a.png,none.png,1,4,7,1', r'line 3.*there is no file .*none\.png'),
        ('a.png,b.png,,4,7,1', r'line 3.*XA is empty'),
        ('a.png,b.png,-1,-1,7,1', r'line 3.*no point'),
    ],
)
def test_bad_rows_name_their_line(two_images, write_list, row, message):
    file = write_list('source,target,XA,YA,XB,YB', 'a.png,b.png,1,4,7,1', row)
    with pytest.raises(InputError, match=message) as error:
        read_keypoint_pairs(file, two_images)
    assert '\n' not in str(error.value)


def test_missing_file_columns_and_rows(tmp_path, write_list):
    with pytest.raises(InputError, match=r'cannot read.*none\.csv'):
        read_images(tmp_path / 'none.csv', tmp_path)
    with pytest.raises(
        InputError,
        match='it lacks target_mask and begins',
    ):
        read_mask_pairs(
            write_list('source,target,source_mask', 'a,b,c'), tmp_path
        )
    with pytest.raises(InputError, match='lists no pairs'):
        read_images(write_list('file'), tmp_path)
    with pytest.raises(InputError, match='needs the columns source, target'):
        read_keypoint_pairs(write_list('source,target', 'a,b'), tmp_path)
    binary = tmp_path / 'binary.csv'
    binary.write_bytes(b'\x89PNG\r\n\xff\xfe')
    with pytest.raises(InputError, match='not a CSV text file'):
        read_images(binary, tmp_path)
    binary.write_bytes(b'\x89PNG\r\n\0\0')
    with pytest.raises(InputError, match='is no text; expected a CSV file'):
        read_images(binary, tmp_path)
    with pytest.raises(InputError, match='is a folder, expected a CSV file'):
        read_images(tmp_path, tmp_path)
