"""Flips and turns of layers are the orientation of their images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image

from napari_samnet.matching.orientation import Frame, Orientation
from napari_samnet.options import parse_orientation
from napari_samnet.plugin.model.grids import grid_of
from napari_samnet.plugin.model.seen import orientation_seen

WAIT = 60.0

GEOMETRIES: dict[str, dict[str, Any]] = {
    'rows': {'scale': (-1, 1)},
    'columns': {'scale': (2, -3)},
    'both': {'scale': (-0.5, -0.5)},
    'quarter': {'rotate': 90},
    'three quarters': {'rotate': -90, 'scale': (2, 2)},
    'affine': {'affine': [[0, 1, 5], [1, 0, 3], [0, 0, 1]]},
    'flip and turn': {'scale': (1, -1), 'rotate': 90},
    'near': {'scale': (-1, 1), 'rotate': 7, 'shear': [0.05]},
    'plain': {'translate': (50, 60), 'scale': (3, 0.5)},
}


def on_screen(data: np.ndarray, geometry: dict[str, Any]) -> np.ndarray:
    """Data turned to the way in which napari shows them."""
    layer = Image(data, **geometry)
    steps = [
        np.subtract(layer.data_to_world(end), layer.data_to_world((0, 0)))
        for end in ((1, 0), (0, 1))
    ]
    down = int(np.argmax([abs(step[0]) for step in steps]))
    if down == 1:
        data, steps = data.T, steps[::-1]
    axes = tuple(n for n in (0, 1) if steps[n][n] < 0)
    return np.flip(data, axes)


@pytest.mark.parametrize('geometry', GEOMETRIES.values(), ids=GEOMETRIES)
def test_the_target_is_turned_as_it_is_seen(geometry: dict[str, Any]) -> None:
    data = np.arange(16.0).reshape(4, 4)
    source = grid_of(Image(data))
    target = grid_of(Image(data, **geometry))
    text = orientation_seen(source, target)
    assert (text == '') == np.array_equal(on_screen(data, geometry), data)
    given = parse_orientation(text or 'upright')
    assert given is not None
    frame = Frame(Orientation(*given), (4, 4))
    image = np.repeat(data[..., None], 3, axis=2).astype(np.float32)
    np.testing.assert_array_equal(
        frame.seen(image, 4)[..., 0], on_screen(data, geometry)
    )


@pytest.mark.parametrize('geometry', GEOMETRIES.values(), ids=GEOMETRIES)
def test_what_is_turned_alike_is_upright(geometry: dict[str, Any]) -> None:
    grids = [grid_of(Image(np.zeros(s), **geometry)) for s in ((4, 6), (8, 3))]
    assert orientation_seen(*grids) == ''


def test_other_turns_are_kept() -> None:
    plain = grid_of(Image(np.zeros((4, 4))))
    turned = grid_of(Image(np.zeros((4, 4)), rotate=30))
    assert orientation_seen(plain, turned) in ('30', '330')
    assert {orientation_seen(plain, turned), orientation_seen(turned, plain)}
    stack = grid_of(Image(np.zeros((3, 4, 4)), scale=(-2, -1, 1)))
    assert orientation_seen(plain, stack) == '180 mirror'


@pytest.mark.slow
@pytest.mark.parametrize('which', ['source', 'target'])
def test_results_of_flipped_layers_land_right(
    ready: Any, photos: Any, mask: Any, which: str
) -> None:
    """The same is found as in a file that holds what is seen."""
    viewer, layers = ready.viewer, ready.viewer.layers
    points = np.array([[35.0, 45.0], [20.0, 40.0]])
    viewer.add_points(points, name='points', size=4)
    ready.set_outputs('labels', 'flow')
    ready.set_options(orientation='upright', fine=False)
    ready.run(wait=True, timeout=WAIT)
    ready.transfer('points', wait=True, timeout=WAIT)
    plain = {
        'labels': layers['other ← mask'].data.copy(),
        'points': layers['other ← points'].data.copy(),
        'arrows': arrows(layers['photo → other flow']),
    }
    for name in ('other ← mask', 'other ← points', 'photo → other flow'):
        layers.remove(layers[name])
    image = photos[0 if which == 'source' else 1]
    flipped = viewer.add_image(
        image[::-1].copy(),
        scale=(-1, 1),
        translate=(len(image) - 1, 0),
        name='flipped',
    )
    getattr(ready, f'set_{which}')(flipped)
    ready.set_labels('mask')
    ready.set_options(orientation='auto')
    ready.run(wait=True, timeout=WAIT)
    ready.transfer('points', wait=True, timeout=WAIT)
    other = 'flipped' if which == 'target' else 'other'
    made = layers[f'{other} ← mask']
    labels = made.data[::-1] if which == 'target' else made.data
    # A source that is flipped is matched as its file holds it.
    assert (labels == plain['labels']).mean() > 0.97
    carried = layers[f'{other} ← points']
    world = np.array([carried.data_to_world(at) for at in carried.data])
    # What was learned is not the same upside down, to less than a cell.
    np.testing.assert_allclose(world, plain['points'], atol=4.0)
    names = ('photo', 'flipped') if which == 'target' else ('flipped', other)
    flow = arrows(layers[f'{names[0]} → {names[1]} flow'])
    near = np.linalg.norm(
        flow[:, None, 0] - plain['arrows'][None, :, 0], axis=-1
    )
    moved = flow[:, 1], plain['arrows'][near.argmin(1), 1]
    apart = np.abs(moved[0] - moved[1])[near.min(1) < 0.6]
    assert len(apart) > 20
    assert np.median(apart) < 2.5


def arrows(layer: Any) -> np.ndarray:
    """Start and direction of arrows in the world, (n, 2, 2)."""
    tips = layer.data.sum(axis=1)
    starts = np.array([layer.data_to_world(at) for at in layer.data[:, 0]])
    ends = np.array([layer.data_to_world(at) for at in tips])
    return np.stack([starts, ends - starts], axis=1)
