"""Any layer meets any other in the world, whatever its geometry and units.

What is expected is computed by napari's own ``data_to_world`` and by pint.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pint
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.annotations import capture_mask, check_labels
from napari_samnet.plugin.model.grids import grid_of
from napari_samnet.plugin.model.resampled import (
    ResampledLabels,
    lies_on,
    same_pixels,
)
from napari_samnet.plugin.model.units import unit_factors, world_units

LENGTHS = ('nm', 'um', 'mm', 'inch')
FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def number(low: float, high: float) -> Any:
    return st.integers(round(100 * low), round(100 * high)).map(
        lambda hundredths: hundredths / 100
    )


@st.composite
def geometries(draw: Any, ndim: int, units: Any = None) -> dict[str, Any]:
    """Spatial fields of a layer: all of napari's, flips included."""
    signs = draw(st.lists(st.sampled_from([-1, 1]), min_size=2, max_size=2))
    scale = draw(st.lists(number(0.2, 5), min_size=ndim, max_size=ndim))
    scale[-2:] = [a * b for a, b in zip(scale[-2:], signs, strict=True)]
    angle = draw(number(-80, 80))
    shear = np.zeros(ndim * (ndim - 1) // 2)
    shear[-1] = draw(number(-0.3, 0.3))
    affine = np.eye(ndim + 1)
    affine[-3:-1, -3:-1] += np.reshape(
        draw(st.lists(number(-0.2, 0.2), min_size=4, max_size=4)), (2, 2)
    )
    affine[:-1, -1] = draw(
        st.lists(number(-9, 9), min_size=ndim, max_size=ndim)
    )
    if units is None:
        units = draw(st.sampled_from(LENGTHS))
    return {
        'scale': scale,
        'translate': draw(
            st.lists(number(-20, 20), min_size=ndim, max_size=ndim)
        ),
        'rotate': angle if ndim == 2 else (0, 0, angle),
        'shear': shear,
        'affine': affine,
        'units': (units,) * ndim,
    }


def expected(layer: Any, coords: Any, other: Any) -> np.ndarray:
    """Data coordinates in another layer, one point at a time."""
    registry = pint.get_application_registry()
    found = []
    for point in coords:
        world = layer.data_to_world(point)
        pairs = list(
            zip(
                world[::-1], layer.units[::-1], other.units[::-1], strict=False
            )
        )
        there = [
            registry.Quantity(value, one).to(two).magnitude
            for value, one, two in pairs
        ][::-1]
        there = [0.0] * (other.ndim - len(there)) + there
        found.append(other.world_to_data(there))
    return np.array(found)


@pytest.mark.slow
@FEW
@given(here=geometries(2), there=geometries(2))
def test_points_and_shapes_land_where_they_are_seen(
    here: Any, there: Any
) -> None:
    source = Image(np.zeros((30, 40)), **there)
    at = np.array([[0.0, 0], [3, 9], [25.5, 30]])
    layers = [
        Points(at, **here),
        Shapes([at], shape_type='polygon', **here),
    ]
    wanted = expected(layers[0], at, source)
    scale = max(1.0, np.abs(wanted).max())
    dots = capture_mask(layers[0], grid_of(source))
    outline = capture_mask(layers[1], grid_of(source)).outlines[0]
    np.testing.assert_allclose(dots.coords, wanted, atol=1e-6 * scale)
    np.testing.assert_allclose(outline, wanted, atol=1e-6 * scale)


@pytest.mark.slow
@FEW
@given(here=geometries(3), there=geometries(3))
def test_points_of_stacks_find_their_plane(here: Any, there: Any) -> None:
    source = Image(np.zeros((5, 30, 40)), **there)
    at = np.array([[0.0, 0, 0], [2, 9, 4], [4, 25, 30]])
    dots = Points(at, **here)
    wanted = expected(dots, at, source)
    captured = capture_mask(dots, grid_of(source))
    scale = max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(captured.coords, wanted, atol=1e-6 * scale)
    for plane in range(5):
        rows = np.flatnonzero(np.abs(wanted[:, 0] - plane) < 0.499)
        assert set(rows) <= set(captured.plane((plane,)).rows)


@pytest.mark.slow
@FEW
@given(
    here=geometries(2),
    there=geometries(2),
    shape=st.tuples(st.integers(4, 30), st.integers(4, 30)),
)
def test_labels_of_any_grid_are_looked_up_nearest(
    here: Any, there: Any, shape: tuple[int, int]
) -> None:
    # Of one size in the world, so that they overlap.
    here = {**here, 'units': there['units']}
    image = Image(np.zeros((20, 24)), **there)
    data = np.arange(1, 1 + shape[0] * shape[1]).reshape(shape)
    labels = Labels(data, **here)
    seen = ResampledLabels(data, grid_of(labels), grid_of(image))[()]
    pixels = np.array(list(np.ndindex(20, 24)), float)
    coords = expected(image, pixels, labels)
    for at, (row, col) in zip(pixels.astype(int), coords, strict=True):
        if min(abs(abs(x - np.floor(x)) - 0.5) for x in (row, col)) < 1e-3:
            continue  # half way between two pixels
        near = round(row), round(col)
        inside = all(
            0 <= n < size for n, size in zip(near, shape, strict=True)
        )
        assert seen[tuple(at)] == (data[near] if inside else 0)


def test_labels_that_are_hardly_turned_are_looked_up_one_by_one() -> None:
    # Corners of the plane lie in one row of the labels, its middle in two.
    image = Image(np.zeros((9, 9)))
    labels = np.arange(1, 82).reshape(9, 9)
    turned = np.array([[1.1, 0.03, -0.213], [0.03, 1, 0.0], [0, 0, 1]])
    layer = Labels(labels, affine=np.linalg.inv(turned))
    seen = ResampledLabels(labels, grid_of(layer), grid_of(image))[()]
    for at in np.ndindex(9, 9):
        row, col = (round(x) for x in (turned @ [*at, 1])[:2])
        inside = row < 9 and col < 9
        assert seen[at] == (labels[row, col] if inside else 0), at


@pytest.mark.slow
@FEW
@given(there=geometries(3), plane=st.integers(0, 4))
def test_the_plane_that_the_viewer_shows_is_taken(
    there: Any, plane: int
) -> None:
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((5, 30, 40)), **there)
    viewer.add_image(np.zeros((3, 3)), units=('nm', 'nm'))
    units = viewer.layers.extent.units
    factors = [
        (1.0 * one).to(two).magnitude
        for one, two in zip(source.units, units, strict=True)
    ]
    world = np.array(source.data_to_world((plane, 7, 9))) * factors
    grid = grid_of(source)
    assert grid.index_at(world, world_units(viewer)) == (plane,)


@pytest.mark.parametrize('override', ['nm', 'mm'])
def test_units_of_the_viewer_are_those_of_its_sliders(override: str) -> None:
    viewer = ViewerModel()
    source = viewer.add_image(
        np.zeros((6, 8, 9)), scale=(2, 0.5, 0.5), units=('um',) * 3
    )
    if not hasattr(type(viewer.layers), 'units'):
        pytest.skip('this napari has no units of its own')
    viewer.layers.units = (override,) * 3
    viewer.dims.set_current_step(0, 3)
    assert grid_of(source).index_at(
        viewer.dims.point, world_units(viewer)
    ) == (3,)


def test_units_that_cannot_be_converted_are_left_out_of_account() -> None:
    micro = Image(np.zeros((4, 4)), units=('um', 'um')).units
    pixel = Image(np.zeros((4, 4))).units
    assert unit_factors(micro, pixel, 2).tolist() == [1, 1]
    assert unit_factors(None, pixel, 2).tolist() == [1, 1]
    nano = Image(np.zeros((4, 4, 4)), units=('nm',) * 3).units
    np.testing.assert_allclose(unit_factors(nano, micro, 3), [1, 1e-3, 1e-3])


@pytest.mark.parametrize('shift', [0.0, 0.5])
def test_labels_at_half_the_resolution_cover_the_image(shift: float) -> None:
    image = Image(np.zeros((60, 80)), scale=(0.5, 0.5), units=('um', 'um'))
    half = np.arange(30 * 40).reshape(30, 40)
    labels = Labels(
        half,
        scale=(1000, 1000),
        translate=(500 * shift, 500 * shift),
        units=('nm', 'nm'),
        name='half',
    )
    captured = capture_mask(labels, grid_of(image))
    wanted = np.kron(half, np.ones((2, 2), int))
    np.testing.assert_array_equal(captured.plane(()), wanted)
    assert not captured.is_blank(())
    # It is looked up later, as it was.
    labels.data = 0 * half
    np.testing.assert_array_equal(captured.plane(()), wanted)


def test_flat_labels_on_disk_are_looked_up() -> None:
    da = pytest.importorskip('dask.array')
    half = da.from_array(np.arange(30 * 40).reshape(30, 40))
    labels = Labels(half, scale=(2, 2))
    captured = capture_mask(labels, grid_of(Image(np.zeros((60, 80)))))
    wanted = np.kron(np.asarray(half), np.ones((2, 2), int))
    np.testing.assert_array_equal(captured.plane(()), wanted)


def test_labels_that_are_blank_where_the_image_is() -> None:
    data = np.zeros((30, 40), int)
    data[:, 30:] = 5
    labels = Labels(data, scale=(2, 2))
    left, right = Image(np.zeros((60, 50))), Image(np.zeros((60, 70)))
    assert capture_mask(labels, grid_of(left)).is_blank(())
    assert not capture_mask(labels, grid_of(right)).is_blank(())
    assert capture_mask(labels, grid_of(right), ids=[4]).is_blank(())
    assert capture_mask(labels, grid_of(right), ids=[0]).is_blank(())
    assert not capture_mask(labels, grid_of(right), ids=[5]).is_blank(())


def test_labels_on_disk_are_looked_up_plane_by_plane() -> None:
    da = pytest.importorskip('dask.array')
    image = Image(np.zeros((3, 60, 80)))
    half = da.from_array(np.arange(3 * 30 * 40).reshape(3, 30, 40))
    labels = Labels(half, scale=(1, 2, 2), name='half')
    captured = capture_mask(labels, grid_of(image))
    wanted = np.kron(np.asarray(half[2]), np.ones((2, 2), int))
    np.testing.assert_array_equal(captured.plane((2,)), wanted)


def test_pixels_of_labels_without_a_place_are_those_of_the_image() -> None:
    image = grid_of(Image(np.zeros((6, 8)), scale=(2, 2), units=('um', 'um')))
    assert same_pixels(grid_of(Labels(np.zeros((6, 8), int))), image)
    moved = Labels(np.zeros((6, 8), int), translate=(3, 0))
    assert not same_pixels(grid_of(moved), image)
    # In the same units the two can be compared, and they differ.
    plain = grid_of(Image(np.zeros((6, 8)), scale=(2, 2)))
    assert not same_pixels(grid_of(Labels(np.zeros((6, 8), int))), plain)


def test_labels_elsewhere_are_refused_with_the_next_step() -> None:
    image = grid_of(Image(np.zeros((60, 80))))
    away = Labels(np.zeros((60, 80), int), translate=(0, 90), name='drawn')
    assert not lies_on(grid_of(away), image)
    with pytest.raises(InputError, match="'drawn' does not lie on the source"):
        check_labels(away, image)
    half = Labels(np.zeros((30, 40), int))
    with pytest.raises(InputError, match='set its scale'):
        check_labels(half, image)


@pytest.mark.parametrize('kind', ['points', 'shapes'])
def test_sizes_in_the_world_stay(kind: str) -> None:
    place = {'scale': (1, 1), 'units': ('nm', 'nm')}
    target = Image(np.zeros((9, 9)), scale=(0.5, -0.5), units=('um', 'um'))
    if kind == 'points':
        layer: Any = Points(np.ones((2, 2)), size=[5000, 1000], **place)
        layer.border_width_is_relative = False
        layer.border_width = 500
    else:
        layer = Shapes([np.eye(4, 2)], edge_width=5000, **place)
    captured = capture_mask(
        layer, grid_of(target), target=grid_of(target)
    ).keywords
    if kind == 'points':
        np.testing.assert_allclose(captured['size'], [10, 2])
        np.testing.assert_allclose(captured['border_width'], 1)
    else:
        np.testing.assert_allclose(captured['edge_width'], 10)


def test_points_of_other_planes_are_not_on_a_flat_image() -> None:
    image = grid_of(Image(np.zeros((60, 80))))
    dots = Points([[0, 5.0, 5], [2, 7, 7]])
    captured = capture_mask(dots, image, shown=(2,))
    assert captured.plane(()).rows.tolist() == [1]
