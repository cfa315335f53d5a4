"""Shapes tell which part of the images is matched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Shapes

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.grids import grid_of
from napari_samnet.plugin.model.regions import capture_region

WAIT = 60.0

pytestmark = pytest.mark.usefixtures('shared_matches')
BOX = np.array([[10.0, 20.0], [10.0, 60.0], [50.0, 60.0], [50.0, 20.0]])


class TestOutlines:
    """From shapes in the world to pixels of an image."""

    def test_shapes_of_other_units_and_scales(self) -> None:
        image = Image(np.zeros((80, 100)), scale=(2, 2), units='um')
        shapes = Shapes([2000 * BOX], scale=(1, 1), units='nm')
        region = capture_region(shapes, grid_of(image), leave_out=False)
        plane = region.plane(())
        assert plane is not None
        assert abs(int(plane.sum()) - 40 * 40) < 100
        assert plane[30, 40]
        assert not plane[30, 65]

    def test_ellipses_have_no_corners(self) -> None:
        shapes = Shapes([BOX], shape_type='ellipse')
        image = grid_of(Image(np.zeros((80, 100))))
        plane = capture_region(shapes, image, leave_out=True).plane(())
        assert plane is not None
        assert plane[11, 21]
        assert not plane[30, 40]
        assert abs((~plane).sum() / (np.pi * 20 * 20) - 1) < 0.05

    def test_planes_without_a_shape_are_whole(self) -> None:
        stack = grid_of(Image(np.zeros((3, 80, 100))))
        here = np.insert(BOX, 0, 1, axis=1)
        region = capture_region(Shapes([here]), stack, leave_out=False)
        assert region.plane((0,)) is None
        assert region.plane((1,)) is not None
        flat = capture_region(Shapes([BOX]), stack, leave_out=False)
        for index in range(3):
            assert flat.plane((index,)) is not None

    def test_lines_have_no_inside(self) -> None:
        lines = Shapes([BOX[:2]], shape_type='line')
        with pytest.raises(InputError, match='no shape with an inside'):
            capture_region(
                lines, grid_of(Image(np.zeros((8, 8)))), leave_out=False
            )


class TestDock:
    """The fields, and what they do to a run."""

    @pytest.fixture
    def drawn(self, ready: Any) -> Any:
        ready.viewer.add_shapes([BOX], name='damage')
        ready.set_outputs('confidence')
        return ready

    def test_it_is_offered_where_there_are_shapes(
        self, ready: Any, qtbot: Any
    ) -> None:
        region = ready.panel.region
        assert not region.layer.isVisible()
        shapes = ready.viewer.add_shapes([BOX], name='damage')
        assert region.layer.isVisible()
        assert region.layer.layer is None
        assert not region.use.isVisible()
        region.layer.choose(shapes)
        assert region.use.isVisible()
        ready.viewer.layers.remove(shapes)
        assert region.layer.layer is None
        assert not region.layer.isVisible()

    @pytest.mark.slow
    @pytest.mark.parametrize('leave_out', [True, False])
    def test_the_confidence_is_0_where_nothing_is_matched(
        self, drawn: Any, leave_out: bool
    ) -> None:
        whole = drawn.run(wait=True, timeout=WAIT)
        drawn.set_region('damage', leave_out=leave_out)
        found = drawn.run(wait=True, timeout=WAIT)
        shown = drawn.viewer.layers['photo → other confidence'].data
        inside = (slice(20, 40), slice(32, 48))
        outside = (slice(0, 80), slice(76, 100))
        out, kept = (inside, outside) if leave_out else (outside, inside)
        assert shown[out].max() < 0.01
        assert shown[kept].mean() > 0.05
        assert found is not whole
        share = found.metadata['matched_share'][0]
        assert share == pytest.approx(0.8 if leave_out else 0.2, abs=0.03)
        # Without it, the match of before is recalled.
        drawn.set_region(None)
        again = drawn.run(wait=True, timeout=WAIT)
        assert 'matched_share' not in again.metadata

    @pytest.mark.slow
    def test_a_region_of_the_target_alone(self, drawn: Any) -> None:
        drawn.lay_side_by_side()
        shift = drawn.target.translate
        shapes = drawn.viewer.add_shapes([BOX + shift], name='second')
        drawn.panel.region.layer.choose(shapes)
        assert drawn.panel.region.images == ('target',)
        drawn.panel.region.choose(leave_out=True, image='target')
        found = drawn.run(wait=True, timeout=WAIT)
        assert found.metadata['matched_share'][0] == 1
        assert found.inverse().confidence[20:40, 32:48].max() < 0.01

    def test_what_cannot_be_is_said(self, drawn: Any) -> None:
        drawn.viewer.add_shapes([BOX[:2]], shape_type='line', name='line')
        drawn.set_region('line')
        assert 'no shape with an inside' in drawn.reason
        drawn.viewer.add_shapes([BOX + 900], name='away')
        drawn.set_region('away')
        assert "No shape of 'away' lies on the image" in drawn.reason
        with pytest.raises(InputError, match='a layer of shapes'):
            drawn.set_region('photo')
        with pytest.raises(InputError, match='source, target or both'):
            drawn.set_region('damage', image='neither')
        drawn.reset_defaults()
        drawn.set_region(None)
        assert drawn.reason == ''

    @pytest.mark.slow
    def test_labels_are_propagated_inside_alone(
        self, ready: Any, photos: Any, mask: Any
    ) -> None:
        viewer = ready.viewer
        viewer.add_image(np.stack([photos[0]] * 2), name='film', rgb=True)
        viewer.add_labels(np.stack([mask, 0 * mask]), name='drawn')
        viewer.dims.set_current_step(0, 0)
        ready.set_source('film')
        ready.set_labels('drawn')
        ready.set_planes('propagate')
        viewer.add_shapes([BOX[:, ::1] * (1, 0.5)], name='part')
        assert ready.panel.region.layer.isVisible()
        ready.set_region('part')
        ready.run(wait=True, timeout=WAIT)
        carried = viewer.layers['film ← drawn propagated'].data[1]
        assert carried.any()
        assert not carried[:, 31:].any()
