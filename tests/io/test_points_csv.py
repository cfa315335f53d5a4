"""Points and shapes from CSV files: which plane, and what stays of a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_samnet.cli.main import main
from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.io.points_csv import (
    read_point_table,
    read_points,
    write_points,
)

STACK = 'index,axis-0,axis-1,axis-2\n0,3.0,10,20\n1,7.2,11,21\n2,3.4,12,22\n'


def written(folder: Path, text: str) -> Path:
    """A file of that text."""
    path = folder / 'points.csv'
    path.write_text(text)
    return path


def test_the_last_axes_of_a_stack_are_row_and_column(tmp_path: Path) -> None:
    path = written(tmp_path, STACK)
    there = read_point_table(path, 3).points
    np.testing.assert_array_equal(there, [[10, 20], [12, 22]])
    with pytest.raises(InputError, match=r'on 2 planes of a stack \(3, 7\)'):
        read_points(path)
    with pytest.raises(InputError, match=r'lies on plane 4, but on 3, 7'):
        read_point_table(path, 4)
    path = written(tmp_path, 'index,axis-0,axis-1,axis-2\n0,3,10,20\n')
    np.testing.assert_array_equal(read_points(path), [[10, 20]])
    path = written(tmp_path, 'z,y,x\n0,1,2\n1,3,4\n')
    np.testing.assert_array_equal(read_point_table(path, 1).points, [[3, 4]])


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('row:column\n1:2\n', 'begins with row:column'),
        ('{"a": "' + 'b' * 900 + '"}', 'begins with .{,31}$'),
        ('', 'begins with nothing'),
        ('row,column\n1\n', 'line 2 of .* must have 2 values'),
        ('row,column\n\n1,nan\n', "finite numbers; line 3 has 'nan'"),
        ('row,column\n1,2\n1,two\n', "line 3 has 'two': correct the line"),
        ('row;column\n1,5;\n', "line 2 has ''"),
    ],
)
def test_one_clear_error(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_points(written(tmp_path, text))


@pytest.mark.parametrize(
    ('text', 'coding'),
    [
        ('row,column,name\n1.5,20,a\n', 'utf-8-sig'),
        ('row;column;name\r\n1,5;20;a\r\n;;\r\n', 'utf-8'),
        ('Row;Column;name\n1.5;20;a\n', 'utf-8'),
        ('Y\tX\tname\n1,5\t20\ta\n\n', 'utf-16'),
        ('\n row , column ,name\n1.5, 20,a\n', 'utf-8'),
    ],
)
def test_as_spreadsheets_write_it(
    tmp_path: Path, text: str, coding: str
) -> None:
    path = tmp_path / 'points.csv'
    path.write_bytes(text.encode(coding))
    table = read_point_table(path)
    np.testing.assert_array_equal(table.points, [[1.5, 20]])
    assert (table.columns, [*table.rows]) == (('name',), [['a']])


def test_a_picture_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / 'points.csv'
    path.write_bytes(b'\x89PNG\r\n\x1a\n')
    with pytest.raises(InputError, match='is not a CSV text file'):
        read_points(path)


def test_what_a_line_says_stays_with_its_point(tmp_path: Path) -> None:
    path = written(
        tmp_path, 'name,row,column,"a, b"\nnöse,1,2,"x, y"\ntail,3,4,\n'
    )
    table = read_point_table(path)
    out = tmp_path / 'out.csv'
    write_points(out, table.points + 1, table)
    assert out.read_text(encoding='utf-8').splitlines() == [
        'index,axis-0,axis-1,name,"a, b"',
        '0,2.0,3.0,nöse,"x, y"',
        '1,4.0,5.0,tail,',
    ]
    again = read_point_table(out)
    np.testing.assert_array_equal(again.points, table.points + 1)


def test_shapes_stay_shapes(tmp_path: Path) -> None:
    """As napari saves and opens them, through the command."""
    # In shares of the image.
    moved = np.full((5, 5, 2), 2.5 / 40, np.float32)
    sure = np.ones((5, 5), np.float32)
    correspondence = Correspondence(
        forward=moved,
        backward=-moved,
        forward_cell_confidence=sure,
        backward_cell_confidence=sure,
        source_shape=(40, 40),
        target_shape=(40, 40),
    )
    from napari_builtins.io import csv_to_layer_data, napari_write_shapes

    shapes = [
        np.array([[10.0, 10], [10, 30], [30, 30], [30, 10]]),
        np.array([[5.0, 5], [9, 20], [20, 6]]),
    ]
    path = str(tmp_path / 'shapes.csv')
    napari_write_shapes(
        path, shapes, {'shape_type': ['rectangle', 'path'], 'edge_width': 1}
    )
    correspondence.save(tmp_path / 'match.npz')
    command = ['apply', str(tmp_path / 'match.npz'), path, '--out']
    assert main([*command, str(tmp_path / 'out')]) == 0
    opened = csv_to_layer_data(str(tmp_path / 'out' / 'shapes-warped.csv'))
    assert opened is not None
    data, about, kind = opened
    assert kind == 'shapes'
    assert list(about['shape_type']) == ['polygon', 'path']
    for before, after in zip(shapes, data, strict=True):
        np.testing.assert_allclose(after, before + 2.5, atol=1e-4)


#: Predictions of a film, and what was marked by hand on two of its frames.
PREDICTED = (
    'scorer,net,net,net,net,net,net\n'
    'bodyparts,nose,nose,nose,tail,tail,tail\n'
    'coords,x,y,likelihood,x,y,likelihood\n'
    '0,150.5,100.25,0.99,200,120,0.2\n'
    '1,151,101,0.9,,,\n'
)
MARKED = (
    'scorer,,,me,me,me,me\n'
    'individuals,,,one,one,two,two\n'
    'bodyparts,,,nose,nose,nose,nose\n'
    'coords,,,x,y,x,y\n'
    'labeled-data,film2,img007.png,150.5,100.25,200,120\n'
    'labeled-data,film2,img012.png,NaN,NaN,201,121\n'
)


def test_tables_of_deeplabcut(tmp_path: Path) -> None:
    """A line is a frame there, x comes first, and gaps are no points."""
    path = written(tmp_path, PREDICTED)
    first = read_point_table(path, 0)
    np.testing.assert_array_equal(first.points, [[100.25, 150.5], [120, 200]])
    assert first.columns == ('name', 'likelihood')
    assert first.rows == [['nose', '0.99'], ['tail', '0.2']]
    np.testing.assert_array_equal(
        read_point_table(path, 1).points, [[101, 151]]
    )
    with pytest.raises(InputError, match=r'lie on 2 planes of a stack \(0, 1'):
        read_points(path)
    path = written(tmp_path, MARKED)
    assert read_point_table(path, 7).rows == [['one nose'], ['two nose']]
    second = read_point_table(path, 12)
    np.testing.assert_array_equal(second.points, [[121, 201]])
    # One frame alone needs no number.
    path = written(tmp_path, PREDICTED.replace('1,151,101,0.9,,,\n', ''))
    assert len(read_points(path)) == 2


@pytest.mark.parametrize(
    ('before', 'after', 'message'),
    [
        ('coords,x,y', 'coords,a,b', '"coords" with x and y'),
        ('151,101', '151,here', "numbers; line 5 has 'here'"),
    ],
)
def test_broken_tables_of_deeplabcut(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    text = PREDICTED.replace(',200,120,0.2', ',,,')
    text = text.replace('likelihood,x,y', 'likelihood,c,d')
    path = written(tmp_path, text.replace(before, after))
    with pytest.raises(InputError, match=message):
        read_points(path)
