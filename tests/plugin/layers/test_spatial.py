"""Every output lies where it belongs: all seven spatial fields, in µm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_samnet.plugin.model.capture import METADATA
from napari_samnet.plugin.model.grids import SPATIAL

WAIT = 60.0

#: Where the world shows the second plane of both stacks.
LAYER = 1

#: Owner of each output.
OWNERS = {
    'flow': 'photo',
    'transferred': 'photo',
    'confidence': 'photo',
    'warped': 'photo',
    'preview': 'photo',
    'labels': 'other',
    'points': 'other',
    'shapes': 'other',
    'points answered': 'other',
    'points asked': 'photo',
}


def place(*, turn: float, shift: float) -> dict[str, Any]:
    """Anisotropic voxels in µm, moved, turned, sheared and transformed."""
    affine = np.eye(4)
    affine[1:3, 1:3] += [[0.05, 0.1], [-0.02, 0.03]]
    affine[:3, 3] = (0, shift, -shift)
    return {
        'scale': (2, 0.5, 0.5),
        'translate': (10, shift, 3),
        'rotate': (0, 0, turn),
        'shear': (0, 0, 0.1),
        'affine': affine,
        'units': ('um', 'um', 'um'),
        'axis_labels': ('z', 'y', 'x'),
    }


def same(one: Any, other: Any) -> bool:
    """Whether two values of a spatial field are the same."""
    if isinstance(one, tuple):
        return tuple(map(str, one)) == tuple(map(str, other))
    matrices = [getattr(x, 'affine_matrix', x) for x in (one, other)]
    return bool(np.allclose(*matrices))


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['current', 'pairwise'])
def test_every_output_has_the_seven_fields_of_its_image(
    viewer: ViewerModel,
    make_widget: Any,
    photos: Any,
    mask: np.ndarray,
    mode: str,
) -> None:
    here, there = place(turn=10, shift=4), place(turn=-15, shift=70)
    stacks = [np.stack([p, np.roll(p, 2, 1)]) for p in photos]
    viewer.add_image(stacks[0], name='photo', rgb=True, **here)
    viewer.add_image(stacks[1], name='other', rgb=True, **there)
    viewer.add_labels(np.stack([mask, mask]), name='mask', **here)
    viewer.add_points([[LAYER, 20.0, 30]], name='dots', **here)
    box = [[LAYER, 10.0, 10], [LAYER, 10, 30], [LAYER, 30, 30]]
    viewer.add_shapes([box], shape_type='polygon', name='boxes', **here)
    at = viewer.layers['photo'].data_to_world((LAYER, 20, 30))
    viewer.dims.set_point((0, 1, 2), at)
    widget = make_widget(viewer, iterations=1)
    widget.set_source('photo')
    widget.set_target('other')
    widget.set_labels('mask')
    widget.set_planes(mode)
    widget.set_outputs('flow', 'labels', 'transferred', 'confidence', 'warped')
    widget.run(wait=True, timeout=WAIT)
    widget.transfer('dots', 'boxes', wait=True, timeout=WAIT)
    widget.preview('blend', wait=True)
    assert widget.ask(at) is not None
    made = {
        layer.metadata[METADATA]['role']: layer
        for layer in viewer.layers
        if METADATA in layer.metadata
    }
    assert set(made) == set(OWNERS)
    for role, layer in made.items():
        owner = viewer.layers[OWNERS[role]]
        own = layer.data.shape if role not in ('points', 'shapes') else None
        # A single plane of a stack says with its translation which it is.
        single = own is not None and len(own) > 2 and own[0] == 1
        single &= role not in ('flow', 'asked', 'answer')
        for field in SPATIAL:
            if not (single and field == 'translate'):
                a, b = getattr(layer, field), getattr(owner, field)
                assert same(a, b), (role, field, a, b)
        plane = 0 if single else LAYER
        np.testing.assert_allclose(
            layer.data_to_world((plane, 7, 9)),
            owner.data_to_world((LAYER, 7, 9)),
        )
        assert [str(unit) for unit in layer.units] == ['micrometer'] * 3
    # One layer without units would take them from all.
    assert {str(x) for x in viewer.layers.extent.units} == {'micrometer'}
