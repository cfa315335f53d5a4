"""What was once wrong in a real viewer, with the dock as it comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage.draw import disk

WAIT = 60.0


@pytest.mark.parametrize(
    'shown',
    [
        pytest.param(
            {}, id='stored', marks=[pytest.mark.slow, pytest.mark.binding]
        ),
        pytest.param({'scale': (1, -1)}, id='seen upright'),
    ],
)
def test_a_mirrored_target_is_told_and_matched(
    viewer: Any, make_widget: Any, shown: Any
) -> None:
    rows, columns = np.mgrid[:64, :64]
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[..., 0] = 60 + 2 * columns
    photo[..., 1] = 40 + 3 * rows
    photo[disk((20, 20), 12)] = (230, 60, 40)
    photo[40:50, 30:60] = (30, 40, 200)
    photo += np.random.default_rng(0).integers(0, 20, (64, 64, 1), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[disk((20, 20), 12)] = 5
    viewer.add_image(photo, name='A')
    viewer.add_labels(mask, name='lab')
    viewer.add_image(photo[:, ::-1].copy(), name='B', **shown)
    widget = make_widget(viewer, orientation='auto')
    widget.set_source('A')
    widget.set_target('B')
    widget.set_labels('lab')
    widget.set_outputs('labels')
    widget.run(wait=True, timeout=WAIT)
    assert 'target mirrored' in widget.message
    carried, expected = viewer.layers['B ← lab'].data > 0, mask[:, ::-1] > 0
    both = (carried & expected).sum() / (carried | expected).sum()
    assert both > 0.9


def test_a_small_thing_over_a_still_background_is_followed(
    viewer: Any, make_widget: Any, photos: Any
) -> None:
    frames, truth = [], []
    for column in (20, 34, 48):
        frame, mask = photos[0].copy(), np.zeros((80, 100), np.uint8)
        where = disk((40, column), 9, shape=mask.shape)
        frame[where], mask[where] = (250, 90, 20), 1
        frames.append(frame)
        truth.append(mask)
    drawn = np.stack([truth[0], 0 * truth[0], 0 * truth[0]])
    viewer.add_image(np.stack(frames), name='film', rgb=True)
    viewer.add_labels(drawn, name='drawn')
    viewer.dims.set_current_step(0, 0)
    widget = make_widget(viewer)
    widget.set_source('film')
    widget.set_labels('drawn')
    widget.set_planes('propagate')
    widget.run(wait=True, timeout=WAIT)
    made = viewer.layers['film ← drawn propagated'].data > 0
    for carried, mask in zip(made, truth, strict=True):
        both = (carried & (mask > 0)).sum() / (carried | (mask > 0)).sum()
        assert both > 0.8


def test_units_choose_the_plane_that_is_seen(
    viewer: Any, make_widget: Any, photos: Any
) -> None:
    stack = np.stack([np.roll(photos[0][..., 0], 7 * k, 1) for k in range(4)])
    um, nm = {'units': ('um',) * 3}, {'units': ('nm', 'nm')}
    viewer.add_image(stack, name='A', scale=(2, 0.5, 0.5), **um)
    viewer.add_image(photos[1][..., 0], name='B', scale=(500, 500), **nm)
    viewer.dims.set_current_step(0, 2)
    widget = make_widget(viewer)
    widget.set_source('A')
    widget.set_target('B')
    widget.set_outputs('confidence')
    widget.run(wait=True, timeout=WAIT)
    made = viewer.layers['A → B confidence']
    seen = np.asarray(viewer.layers['A']._slice.image.raw)
    (plane,) = (k for k in range(4) if np.array_equal(seen, stack[k]))
    assert made.translate[0] / 2 == plane


def test_points_of_other_units_are_found(
    viewer: Any, make_widget: Any, photos: Any
) -> None:
    about = {'scale': (0.5, 0.5), 'units': ('um', 'um')}
    viewer.add_image(photos[0], name='A', **about)
    viewer.add_image(photos[0][6:, 8:].copy(), name='B', **about)
    at = [[500.0 * 35, 500.0 * 45]]
    viewer.add_points(at, name='eye', units=('nm', 'nm'), size=5000)
    widget = make_widget(viewer)
    widget.set_source('A')
    widget.set_target('B')
    widget.transfer('eye', wait=True, timeout=WAIT)
    made = viewer.layers['B ← eye']
    np.testing.assert_allclose(made.data, [[29, 37]], atol=4)
    viewer.layers.remove(made)
