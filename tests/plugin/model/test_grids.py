"""Planes of layers stay where they are in the world."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Points

from napari_samnet.plugin.model.grids import SPATIAL, grid_of


def tilted(ndim: int) -> dict[str, Any]:
    """Every spatial field of a layer, none at its default."""
    affine = np.eye(ndim + 1)
    affine[-3:-1, -1] = (3, -2)
    affine[-3, -2] = 0.1
    return {
        'scale': (2, 0.5, 0.5)[-ndim:],
        'translate': (7, -3, 11)[-ndim:],
        'rotate': 30 if ndim == 2 else (0, 0, 30),
        'shear': [0.2] if ndim == 2 else [0, 0, 0.2],
        'affine': affine,
        'units': ('um',) * ndim,
        'axis_labels': ('z', 'y', 'x')[-ndim:],
    }


@pytest.mark.parametrize('ndim', [2, 3])
def test_matrix_is_that_of_the_layer(ndim: int) -> None:
    layer = Image(np.zeros((4, 6, 8)[-ndim:]), **tilted(ndim))
    grid = grid_of(layer)
    at = np.array([2.0, 3, 5])[-ndim:]
    world = grid.to_world() @ [*at, 1]
    np.testing.assert_allclose(world[:-1], layer.data_to_world(at))
    back = grid.from_world(world[None, :-1])[0]
    np.testing.assert_allclose(back, at, atol=1e-9)


@pytest.mark.parametrize('ndim', [2, 3])
def test_a_layer_on_the_grid_overlays_exactly(ndim: int) -> None:
    layer = Image(np.zeros((4, 6, 8)[-ndim:]), **tilted(ndim))
    copy = Image(np.zeros(layer.data.shape), **grid_of(layer).spatial)
    at = (1, 2, 3)[-ndim:]
    np.testing.assert_allclose(copy.data_to_world(at), layer.data_to_world(at))
    assert copy.units == layer.units
    assert copy.axis_labels == layer.axis_labels


def test_rgb_axis_is_not_part_of_the_grid() -> None:
    layer = Image(np.zeros((6, 8, 3), np.uint8), rgb=True)
    assert grid_of(layer).shape == (6, 8)


def test_single_plane_keeps_its_place() -> None:
    layer = Image(np.zeros((4, 6, 8)), **tilted(3))
    grid = grid_of(layer).single((2,))
    assert grid.shape == (1, 6, 8)
    plane = Image(np.zeros(grid.shape), **grid.spatial)
    np.testing.assert_allclose(
        plane.data_to_world((0, 3, 5)), layer.data_to_world((2, 3, 5))
    )


def test_plane_drops_the_leading_axes() -> None:
    layer = Image(
        np.zeros((4, 6, 8)),
        scale=(2, 0.5, 0.5),
        translate=(7, -3, 11),
        units=('s', 'um', 'um'),
        axis_labels=('t', 'y', 'x'),
    )
    plane = Image(np.zeros((6, 8)), **grid_of(layer).plane().spatial)
    np.testing.assert_allclose(
        plane.data_to_world((3, 5)), layer.data_to_world((0, 3, 5))[1:]
    )
    assert plane.axis_labels == ('y', 'x')


def test_plane_repeats_along_another_stack() -> None:
    flat = Image(np.zeros((6, 8)), **tilted(2))
    stack = Image(
        np.zeros((4, 9, 9)),
        scale=(5, 1, 1),
        translate=(1, 0, 0),
        units=('s', 'um', 'um'),
        axis_labels=('t', 'y', 'x'),
    )
    grid = grid_of(flat).along(grid_of(stack))
    assert grid.shape == (4, 6, 8)
    both = Image(np.zeros(grid.shape), **grid.spatial)
    world = both.data_to_world((3, 2, 5))
    assert world[0] == pytest.approx(16)
    np.testing.assert_allclose(world[1:], flat.data_to_world((2, 5)))
    assert both.axis_labels == ('t', 'y', 'x')


def test_index_follows_the_sliders_and_stays_inside() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(
        np.zeros((5, 6, 8)), scale=(2, 1, 1), translate=(10, 0, 0)
    )
    viewer.add_image(np.zeros((30, 6, 8)))
    viewer.dims.set_point(0, 16)
    assert grid_of(layer).index_at(viewer.dims.point) == (3,)
    viewer.dims.set_point(0, 0)
    assert grid_of(layer).index_at(viewer.dims.point) == (0,)


def test_fields_of_points_are_read_too() -> None:
    layer = Points(np.zeros((1, 2)), **tilted(2))
    grid = grid_of(layer, (1, 1))
    assert set(grid.spatial) == set(SPATIAL)
    np.testing.assert_allclose(
        (grid.to_world() @ [1, 2, 1])[:2], layer.data_to_world((1, 2))
    )
