"""Several annotated images in the dock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_samnet.errors import InputError
from napari_samnet.matching.carry import carry
from napari_samnet.plugin.layers.edits import about_layer

WAIT = 60.0


def test_layers_stacks_and_files_are_asked_together(
    ready: Any, photos: Any, mask: np.ndarray, tmp_path: Any, fast: Any
) -> None:
    viewer = ready.viewer
    shifted = np.roll(photos[0], 4, 1)
    stack = np.stack([photos[0], shifted, shifted])
    labels = np.stack([np.zeros_like(mask), np.roll(mask, 4, 1), mask * 0])
    viewer.add_image(stack, name='stack', rgb=True)
    viewer.add_labels(labels, name='drawn')
    small = np.where(mask == 3, 5, 0).astype(np.uint8)
    Image.fromarray(photos[0]).save(tmp_path / 'a.png')
    Image.fromarray(small).save(tmp_path / 'b.png')
    listed = ready.panel.references
    assert not listed.run.isEnabled()
    listed.add.click()
    assert ready.references == ['photo + mask']
    ready.add_reference('stack', 'drawn')
    ready.add_reference(tmp_path / 'a.png', tmp_path / 'b.png')
    assert listed.names.count() == 3
    listed.run.click()
    ready.wait(WAIT)
    made = viewer.layers['other ← 3 references']
    expected = carry(
        [
            (photos[0], mask),
            (shifted, labels[1]),
            (photos[0], small),
        ],
        photos[1],
        size=64,
        device='cpu',
    )
    np.testing.assert_array_equal(made.data, expected.labels)
    assert '3 of 3 annotated images asked' in ready.message
    assert about_layer(made)['verdict'] == ready.verdict.as_dict()
    # What was painted stays, and a removed layer leaves the list.
    made.data_setitem((np.array([0]), np.array([0])), 9)
    viewer.layers.remove('drawn')
    assert len(ready.references) == 2
    ready.carry_references(wait=True, timeout=WAIT)
    assert made.data[0, 0] == 9
    assert 'other ← 2 references' in viewer.layers


def test_what_does_not_fit_is_said(ready: Any, tmp_path: Any) -> None:
    with pytest.raises(InputError, match='add an annotated image'):
        ready.carry_references()
    with pytest.raises(InputError, match='there is no file'):
        ready.add_reference(tmp_path / 'no.png', tmp_path / 'none.png')
    with pytest.raises(InputError, match='both be layers'):
        ready.add_reference('photo', tmp_path / 'none.png')
    ready.set_labels(None)
    ready.panel.references.add.click()
    assert 'hoose an image and its labels' in ready.message
    assert ready.references == []
