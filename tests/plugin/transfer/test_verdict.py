"""The verdict in the dock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_samnet.plugin.layers.edits import about_layer

WAIT = 120.0


@pytest.mark.slow
def test_a_run_ends_with_a_verdict_that_leaves_with_its_pair(
    ready: Any, viewer: ViewerModel
) -> None:
    line = ready.panel.footer.verdict
    assert not line.isVisibleTo(ready)
    ready.run(wait=True, timeout=WAIT)
    assert line.isVisibleTo(ready)
    assert ready.verdict.text in line.text.text().replace('&#x27;', "'")
    made = [layer for layer in viewer.layers if about_layer(layer)]
    assert made
    for layer in made:
        assert about_layer(layer)['verdict'] == ready.verdict.as_dict()
    viewer.add_image(np.zeros((80, 100, 3), np.uint8), name='third')
    ready.set_target('third')
    assert not line.isVisibleTo(ready)


def test_show_me_goes_from_place_to_place(
    ready: Any, viewer: ViewerModel
) -> None:
    blank = np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)
    viewer.add_image(blank, name='noise', translate=(0, 300))
    ready.set_target('noise')
    ready.run(wait=True, timeout=WAIT)
    assert ready.verdict.level != 'good'
    count = len(ready.verdict.places)
    assert count
    camera = getattr(viewer, 'scene', viewer).camera
    seen = []
    for place in ready.verdict.places:
        assert ready.show_worst()
        seen.append(tuple(camera.center[-2:]))
        row, column = place.target
        np.testing.assert_allclose(seen[-1], (row, column + 300), atol=1e-3)
    ready.show_worst()
    assert tuple(camera.center[-2:]) == seen[0]
