"""Corrections, units and samples in a real window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_samnet.plugin.layers.arrange import are_in_view

pytestmark = [pytest.mark.gui, pytest.mark.slow]

WAIT = 240.0
NAME = 'napari-samnet'
DOCK = 'Semantic transfer'


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer()


def dock(window: Any, fast: dict[str, Any]) -> Any:
    _, widget = window.window.add_plugin_dock_widget(NAME, DOCK)
    widget.set_options(**fast)
    return widget


def test_corrections_last(
    window: Any, photos: Any, mask: np.ndarray, fast: dict[str, Any]
) -> None:
    window.add_image(photos[0], name='A')
    window.add_labels(mask, name='lab')
    window.add_image(photos[1], name='B')
    window.add_points([[30.0, 40]], name='pts')
    widget = dock(window, fast)
    widget.set_outputs('labels')
    widget.run(wait=True, timeout=WAIT)
    widget.transfer('pts', wait=True, timeout=WAIT)
    labels, points = window.layers['B ← lab'], window.layers['B ← pts']
    labels.name = 'B final, corrected by hand'
    spot = np.mgrid[40:60, 20:40].reshape(2, -1)
    labels.data_setitem(tuple(spot), 7)
    points.data = points.data + 20
    points.add([[50, 50]])
    widget.set_outputs('labels', 'confidence')
    widget.run(wait=True, timeout=WAIT)
    widget.transfer('pts', wait=True, timeout=WAIT)
    assert (labels.data == 7).sum() == 400
    assert len(points.data) == 2
    labels.undo()
    assert not (labels.data == 7).any()


def test_units_do_not_move_points_or_break_the_viewer(
    window: Any, photos: Any, fast: dict[str, Any]
) -> None:
    micro = {'scale': (0.5, 0.5), 'units': ('um', 'um')}
    window.add_image(photos[0], name='A', **micro)
    window.add_image(photos[0].copy(), name='B', **micro)
    # Pixel (30, 40) of the source.
    window.add_points(
        [[15_000.0, 20_000.0]], name='eye', units=('nm', 'nm'), size=5000
    )
    widget = dock(window, fast)
    widget.set_source('A')
    widget.set_target('B')
    widget.transfer('eye', wait=True, timeout=WAIT)
    made = window.layers['B ← eye']
    np.testing.assert_allclose(made.data, [[30, 40]], atol=8)
    np.testing.assert_allclose(made.size, 10)
    assert window.layers.extent.units is not None
    window.layers.remove(made)
    # A click is in the units of the viewer, here nm.
    asked = widget.ask((15_000.0, 20_000.0))
    assert asked is not None
    np.testing.assert_allclose(asked[1], [30, 40], atol=8)


@pytest.mark.parametrize('key', ['coffee', 'motorcycle'])
def test_samples_open_with_both_images_in_view(window: Any, key: str) -> None:
    window.open_sample(NAME, key)
    assert are_in_view(window, list(window.layers))
