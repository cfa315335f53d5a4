"""Two motions meet: nothing that lies between them is drawn."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_samnet.arrays.resize import Upsampler, centers
from napari_samnet.arrays.tiles import tiles
from napari_samnet.correspondence import Correspondence
from napari_samnet.dask_warp import lazy_image, lazy_labels
from napari_samnet.warping.boundaries import (
    DisplacementUpsampler,
    sample_displacement,
)
from napari_samnet.warping.fields import Mapping, source_window

SHAPE = (240, 300)
CELLS = (60, 75)


def two_motions(zoom: float = 1.0) -> np.ndarray:
    """A disk that moves left by 90 pixels over still, zoomed ground."""
    grid = np.stack(np.meshgrid(*map(centers, CELLS), indexing='ij'), -1)
    field = (grid - 0.5) * (zoom - 1)
    disk = np.hypot(grid[..., 0] - 0.5, 1.25 * (grid[..., 1] - 0.6)) < 0.2
    field[disk] = (0.0, -90 / SHAPE[1])
    return field.astype(np.float32)


def correspondence(field: np.ndarray) -> Correspondence:
    trust = np.ones(field.shape[:2], np.float32)
    return Correspondence(
        forward=field,
        backward=field,
        forward_cell_confidence=trust,
        backward_cell_confidence=trust,
        source_shape=SHAPE,
        target_shape=SHAPE,
    )


def positions(field: np.ndarray) -> np.ndarray:
    return Mapping(field, SHAPE, SHAPE).positions(slice(0, SHAPE[0]))


@pytest.mark.parametrize('zoom', [1.0, 1.3])
def test_every_pixel_follows_one_of_the_two_motions(zoom: float) -> None:
    at = positions(two_motions(zoom))
    here = np.indices(SHAPE).astype(float)
    middle = (np.array(SHAPE)[:, None, None] - 1) / 2
    ground = middle + zoom * (here - middle)
    disk = here - np.array([0, 90])[:, None, None]
    # Between the samples one goes on with the slope of the surroundings.
    off = np.min([np.hypot(*(at - ground)), np.hypot(*(at - disk))], axis=0)
    assert off.max() < 2 * zoom
    assert (np.hypot(*(at - disk)) < 2).sum() > 4000


def test_no_label_between_two_motions_is_drawn() -> None:
    found = correspondence(two_motions())
    labels = np.zeros(SHAPE, np.uint8)
    # What neither motion leads to, but what lies between them.
    labels[:, 110:125] = 1
    swept = labels.copy()
    swept[:, :90] = swept[:, 130:] = 0
    carried = found.warp_labels(swept, evidence=False)
    ground = np.broadcast_to(np.indices(SHAPE)[1], SHAPE)
    assert not carried[(ground < 105) | (ground > 217)].any()
    lazy = lazy_labels(found, da.from_array(swept, chunks=64), side=100)
    np.testing.assert_array_equal(lazy.compute(), carried)


def test_images_points_and_flow_agree() -> None:
    found = correspondence(two_motions(1.2))
    flow = found.backward_flow
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, SHAPE, (500, 2))
    there = found.warp_points(pixels, to='source')
    np.testing.assert_allclose(
        there - pixels, flow[tuple(pixels.T)], atol=2e-3
    )
    ramp = np.indices(SHAPE)[1].astype(np.float32)
    carried = found.warp_image(ramp, to='target', fill=-1)
    inside = carried >= 0
    expected = np.clip(flow[..., 1] + ramp, 0, SHAPE[1] - 1)
    np.testing.assert_allclose(carried[inside], expected[inside], atol=2e-2)
    lazy = lazy_image(found, ramp, to='target', fill=-1, side=100)
    np.testing.assert_allclose(lazy.compute(), carried, atol=1e-4)


def test_points_beyond_the_border_and_single_samples() -> None:
    field = two_motions(1.4)
    at = np.array([[-0.3, 1.4, 0.5], [0.5, -0.2, 1.7]])
    expected = (at - 0.5) * 0.4
    np.testing.assert_allclose(
        sample_displacement(field, at), expected, atol=1e-6
    )
    one = np.full((1, 1, 2), 0.25, np.float32)
    assert (sample_displacement(one, at) == 0.25).all()
    assert (DisplacementUpsampler(one, (5, 7)).rows(slice(0, 5)) == 0.25).all()
    row = np.zeros((1, 9, 2), np.float32)
    row[:, 5:] = 0.5
    values = DisplacementUpsampler(row, (4, 90)).rows(slice(0, 4))
    assert set(np.unique(values)) == {0.0, 0.5}


def test_smooth_motions_stay_bilinear() -> None:
    angle = np.linspace(0, 5, 33)
    wave = np.sin(angle)[:, None] + np.cos(1.3 * angle)
    field = (0.1 * np.stack([wave, wave.T], -1)).astype(np.float32)
    here = DisplacementUpsampler(field, SHAPE).rows(slice(0, SHAPE[0]))
    plain = Upsampler(field, SHAPE, extrapolate=True).rows(slice(0, SHAPE[0]))
    np.testing.assert_array_equal(here, plain)


def test_a_block_reads_all_that_both_motions_need() -> None:
    field = two_motions(1.3)
    at = positions(field)
    for tile in tiles(SHAPE, side=(37, 41)):
        part = at[(slice(None), *tile)]
        window = source_window(field, SHAPE, SHAPE, tile)
        if window is None:
            continue
        for where, (start, stop), side in zip(
            part, window, SHAPE, strict=True
        ):
            inside = where[(where >= 0) & (where <= side - 1)]
            if inside.size:
                assert start <= np.floor(inside.min())
                assert np.ceil(inside.max()) < stop
