"""Hyperstacks of ImageJ: planes, channels, rows, columns."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_samnet.errors import InputError

WAIT = 120.0

PLACE: dict[str, Any] = {
    'scale': (2, 1, 0.5, 0.5),
    'translate': (100, 0, 7, -3),
    'units': ('um', 'pixel', 'um', 'um'),
}


def embryo() -> tuple[np.ndarray, np.ndarray]:
    """Four planes of three channels, and the disk in each plane."""
    texture = np.random.default_rng(0).integers(60, 120, (3, 80, 100))
    rows, columns = np.mgrid[:80, :100]
    disks = np.stack(
        [
            (rows - 35) ** 2 + (columns - 40 - 4 * plane) ** 2 < 15**2
            for plane in range(4)
        ]
    )
    planes = [np.clip(texture + 120 * disk, 0, 255) for disk in disks]
    return np.stack(planes).astype(np.uint16) * 200, disks


def open_it(viewer: Any, make_widget: Any, data: Any) -> Any:
    viewer.add_image(data, name='embryo', contrast_limits=(0, 5e4), **PLACE)
    widget = make_widget(viewer, size=96)
    widget.set_source('embryo', channel_axis=1)
    widget.set_planes('propagate')
    return widget


@pytest.mark.parametrize('lazy', [False, True])
def test_they_are_put_first_by_a_button(
    viewer: Any, make_widget: Any, lazy: bool
) -> None:
    data = embryo()[0]
    widget = open_it(
        viewer, make_widget, da.from_array(data) if lazy else data
    )
    assert "channels of 'embryo' are on axis" in widget.reason
    assert 'put them first' in widget.reason
    button = widget.panel.footer.remedy
    assert button.text() == 'Put channels first'
    button.click()
    layer = viewer.layers['embryo']
    assert layer.data.shape == (3, 4, 80, 100)
    assert lazy == isinstance(layer.data, da.Array)
    np.testing.assert_array_equal(
        np.moveaxis(np.asarray(layer.data), 0, 1), data
    )
    np.testing.assert_array_equal(layer.scale, (1, 2, 0.5, 0.5))
    np.testing.assert_array_equal(layer.translate, (0, 100, 7, -3))
    assert [str(unit) for unit in layer.units][:2] == ['pixel', 'micrometer']
    assert list(layer.contrast_limits) == [0, 5e4]
    assert 'channels' not in widget.reason


@pytest.mark.slow
@pytest.mark.binding
def test_labels_then_lie_on_the_planes(viewer: Any, make_widget: Any) -> None:
    """The plane that the slider shows is meant, and its labels are seen."""
    data, disks = embryo()
    widget = open_it(viewer, make_widget, data)
    widget.put_channels_first('embryo')
    labels = np.zeros(disks.shape, np.uint8)
    labels[2] = disks[2]
    viewer.add_labels(
        labels,
        name='mask',
        scale=(2, 0.5, 0.5),
        translate=(100, 7, -3),
        units=('um', 'um', 'um'),
    )
    widget.set_labels('mask')
    viewer.dims.set_point(1, 104)
    widget.run(wait=True, timeout=WAIT)
    made = viewer.layers['embryo ← mask propagated']
    assert all(plane.any() for plane in made.data)
    for plane in range(4):
        viewer.dims.set_point(1, 100 + 2 * plane)
        shown = made._slice.image.raw
        np.testing.assert_array_equal(shown, made.data[plane])


def test_what_has_no_channels_is_refused(
    viewer: Any, make_widget: Any
) -> None:
    viewer.add_image(embryo()[0][:, 0], name='planes')
    widget = make_widget(viewer)
    with pytest.raises(InputError, match='has no axis of channels'):
        widget.put_channels_first('planes')
