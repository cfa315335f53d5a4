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
        pytest.param({}, id='stored', marks=pytest.mark.slow),
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
