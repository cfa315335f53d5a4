"""Labels, points and shapes keep what they are on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.annotations import capture_mask
from napari_samnet.plugin.model.grids import Grid, grid_of
from napari_samnet.plugin.model.masks import LabelsMask, Mask

FLAT = grid_of(Image(np.zeros((80, 100))))
DEEP = grid_of(Image(np.zeros((3, 80, 100))))


def carried(mask: Mask, found: Any, grid: Grid, *indices: Any) -> Any:
    planes = {
        index: mask.carry(mask.plane(index), found, min_confidence=0.0)
        for index in indices or [()]
    }
    return mask.assemble(planes, grid)


def test_labels_keep_ids_dtype_and_style(
    viewer: ViewerModel, mask: np.ndarray, make_found: Any
) -> None:
    layer = viewer.add_labels(
        mask, features={'index': [0, 3, 70_000], 'name': ['-', 'a', 'b']}
    )
    captured = capture_mask(layer, FLAT)
    found = make_found((80, 100), (80, 100))
    data, keywords = carried(captured, found, FLAT)
    np.testing.assert_array_equal(data, mask)
    assert data.dtype == mask.dtype
    assert keywords['colormap'] is layer.colormap
    assert keywords['features'].equals(layer.features)


def test_labels_are_copied_plane_by_plane(mask: np.ndarray) -> None:
    captured = LabelsMask('mask', 'uid', mask)
    plane = captured.plane(())
    mask[:] = 0
    assert plane.any()


def test_labels_of_another_shape_are_refused(viewer: ViewerModel) -> None:
    layer = viewer.add_labels(np.zeros((5, 5), int), name='small')
    with pytest.raises(InputError, match="'small' has shape 5 × 5"):
        capture_mask(layer, FLAT)


def test_images_are_refused(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((80, 100)))
    with pytest.raises(InputError, match='image layer cannot be transferred'):
        capture_mask(layer, FLAT)


def test_points_move_and_keep_their_style(
    viewer: ViewerModel, make_found: Any
) -> None:
    layer = viewer.add_points(
        [[10.0, 20], [30, 40]],
        features={'kind': ['a', 'b']},
        size=[3, 9],
        symbol=['disc', 'cross'],
        face_color=['red', 'blue'],
    )
    found = make_found((80, 100), (80, 100), (0.1, -0.05))
    data, keywords = carried(capture_mask(layer, FLAT), found, FLAT)
    np.testing.assert_allclose(data, [[18, 15], [38, 35]])
    np.testing.assert_array_equal(keywords['size'], [3, 9])
    np.testing.assert_array_equal(keywords['face_color'], layer.face_color)
    assert list(keywords['features']['kind']) == ['a', 'b']


def test_points_of_a_plane_leave_the_others_behind(
    viewer: ViewerModel, make_found: Any
) -> None:
    layer = viewer.add_points(
        [[0, 10.0, 20], [1, 30, 40], [1, 50, 60]],
        features={'kind': ['a', 'b', 'c']},
        size=[1, 2, 3],
    )
    found = make_found((80, 100), (80, 100))
    captured = capture_mask(layer, DEEP)
    data, keywords = carried(captured, found, DEEP, (1,))
    np.testing.assert_allclose(data, [[1, 30, 40], [1, 50, 60]])
    assert list(keywords['features']['kind']) == ['b', 'c']
    np.testing.assert_array_equal(keywords['size'], [2, 3])


def test_all_planes_of_points(viewer: ViewerModel, make_found: Any) -> None:
    layer = viewer.add_points([[2, 10.0, 20], [0, 30, 40]])
    found = make_found((80, 100), (80, 100))
    captured = capture_mask(layer, DEEP)
    data, _ = carried(captured, found, DEEP, (0,), (1,), (2,))
    np.testing.assert_allclose(data, [[0, 30, 40], [2, 10, 20]])


def test_shapes_bend(viewer: ViewerModel, make_found: Any) -> None:
    layer = viewer.add_shapes()
    layer.add_rectangles([[10, 10], [30, 40]], face_color='red')
    layer.add_ellipses([[50, 60], [10, 20]], face_color='blue')
    layer.add_paths([[5, 5], [20, 30], [40, 8]])
    found = make_found((80, 100), (80, 100), (0.1, 0.0))
    data, keywords = carried(capture_mask(layer, FLAT), found, FLAT)
    assert keywords['shape_type'] == ['polygon', 'polygon', 'path']
    for before, after in zip(layer.data, data, strict=True):
        np.testing.assert_allclose(
            after.mean(0) if len(after) > 3 else after[0],
            (before.mean(0) if len(after) > 3 else before[0]) + [8, 0],
            atol=1e-4,
        )
    # The corners of the rectangle are still there.
    np.testing.assert_allclose(data[0][0], layer.data[0][0] + [8, 0])
    np.testing.assert_allclose(np.ptp(data[1], axis=0), [20, 40], rtol=0.01)
    np.testing.assert_array_equal(keywords['face_color'], layer.face_color)


def test_shapes_of_a_plane(viewer: ViewerModel, make_found: Any) -> None:
    layer = viewer.add_shapes(
        [
            [[0, 10, 10], [0, 20, 20], [0, 10, 20]],
            [[1, 30, 30], [1, 40, 40], [1, 30, 40]],
        ],
        shape_type='polygon',
    )
    found = make_found((80, 100), (80, 100))
    captured = capture_mask(layer, DEEP)
    data, keywords = carried(captured, found, DEEP, (1,))
    assert len(data) == 1
    np.testing.assert_allclose(data[0], layer.data[1])
    assert keywords['shape_type'] == ['polygon']


@pytest.mark.parametrize('kind', ['labels', 'points', 'shapes'])
def test_nothing_on_a_plane_is_noticed(viewer: ViewerModel, kind: str) -> None:
    data = {'labels': np.zeros((80, 100), int)}.get(kind)
    layer = getattr(viewer, f'add_{kind}')(data)
    captured = capture_mask(layer, FLAT)
    assert captured.is_empty(captured.plane(()))
