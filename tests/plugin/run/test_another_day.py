"""A propagated result that was saved says which planes were corrected."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import LayerList, ViewerModel
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from qtpy.QtCore import QMimeData, QUrl

from napari_samnet.errors import InputError
from napari_samnet.plugin.contributions.label_files import write_series
from napari_samnet.plugin.model.capture import METADATA

WAIT = 120.0

pytestmark = pytest.mark.slow

SHAPE = 80, 100
#: Where nobody has marked anything before.
ROWS, COLUMNS = np.mgrid[50:70, 5:25].reshape(2, -1)
#: How the stack lies in the world.
PLACE: dict[str, Any] = {
    'scale': (5, 0.5, 0.5),
    'translate': (10, 3, -2),
    'units': ('um', 'um', 'um'),
}


def film() -> tuple[np.ndarray, np.ndarray]:
    """Five planes in which a disk moves over a texture, and its labels."""
    texture = np.random.default_rng(0).integers(60, 120, SHAPE)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    disks = [
        (rows - 35) ** 2 + (columns - 40 - 4 * place) ** 2 < 15**2
        for place in range(5)
    ]
    shown = [np.clip(texture + 120 * disk, 0, 255) for disk in disks]
    return np.stack(shown).astype(np.uint16) * 200, np.stack(disks)


def draw(layer: Any, plane: int, number: int) -> None:
    layer.data_setitem((np.full(ROWS.size, plane), ROWS, COLUMNS), number)


def open_film(viewer: Any, make_widget: Any) -> Any:
    viewer.add_image(film()[0], name='film', **PLACE)
    widget = make_widget(viewer, size=96)
    widget.set_planes('propagate')
    return widget


@pytest.fixture
def corrected(viewer: Any, make_widget: Any) -> Any:
    """The second plane was annotated, the fourth and last one corrected."""
    widget = open_film(viewer, make_widget)
    labels = np.zeros((5, *SHAPE), np.int32)
    labels[1] = film()[1][1]
    viewer.add_labels(labels, name='mask', **PLACE)
    widget.set_labels('mask')
    viewer.dims.set_current_step(0, 1)
    widget.run(wait=True, timeout=WAIT)
    result = viewer.layers['film ← mask propagated']
    draw(result, 3, 7)
    widget.go_on(3, direction='backwards', wait=True, timeout=WAIT)
    # The last one is corrected and nothing else is done before it is saved.
    draw(result, 4, 8)
    return widget


def states(widget: Any) -> dict[int, str]:
    return {row.place: row.text for row in widget.panel.series.rows}


def result_of(widget: Any) -> Any:
    (result,) = (x for x in widget.viewer.layers if 'propagated' in x.name)
    return result


def check_it_goes_on(widget: Any, opened: Any) -> None:
    """What was corrected stays and leads; the rest is carried anew."""
    assert states(widget)[1] == 'annotated'
    assert states(widget)[3] == states(widget)[4] == 'corrected'
    before = opened.data.copy()
    draw(opened, 1, 9)
    annotated = opened.data[1].copy()
    widget.go_on(1, wait=True, timeout=WAIT)
    np.testing.assert_array_equal(opened.data[1], annotated)
    for place in (3, 4):
        np.testing.assert_array_equal(opened.data[place], before[place])
    assert (opened.data[0] == 9).sum() > 200
    assert 'Planes 3 and 4 kept' in widget.message


def test_the_table_says_which_planes_were_corrected(corrected: Any) -> None:
    result = result_of(corrected)
    corrected.viewer.dims.set_current_step(0, 4)
    assert states(corrected)[1] == 'annotated'
    assert states(corrected)[3] == states(corrected)[4] == 'corrected'
    assert states(corrected)[2] == 'good'
    result.undo()
    corrected.refresh()
    assert states(corrected)[4] != 'corrected'


def test_a_stroke_is_seen_at_once(corrected: Any, qtbot: Any) -> None:
    result = result_of(corrected)
    corrected.viewer.dims.set_current_step(0, 2)
    result.paint((2, 60, 10), 5)
    qtbot.waitUntil(lambda: states(corrected)[2] == 'corrected', timeout=3000)


@pytest.fixture
def napari_s_own(npe2pm: Any) -> None:
    """napari's own readers and writers."""
    npe2pm.register(PluginManifest.from_distribution('napari'))


@pytest.mark.binding
@pytest.mark.usefixtures('napari_s_own')
@pytest.mark.parametrize('name', ['film ← mask propagated', 'anything'])
@pytest.mark.parametrize('dtype', ['int32', 'uint16'])
def test_saved_by_napari(
    corrected: Any, make_widget: Any, tmp_path: Path, name: str, dtype: str
) -> None:
    """napari writes no metadata; scale, units and name may be lost."""
    file = tmp_path / f'{name}.tif'
    result = result_of(corrected)
    (saved,) = LayerList([result]).save(str(file), plugin='napari')
    if dtype != 'int32':
        # As another program would.
        tifffile.imwrite(saved, tifffile.imread(saved).astype(dtype))
    viewer = ViewerModel()
    widget = open_film(viewer, make_widget)
    (opened,) = viewer.open(saved, plugin='napari', layer_type='labels')
    np.testing.assert_array_equal(opened.scale, PLACE['scale'])
    np.testing.assert_array_equal(opened.translate, PLACE['translate'])
    assert opened.metadata[METADATA]['corrected'] == ['3', '4']
    viewer.dims.set_current_step(0, 1)
    check_it_goes_on(widget, opened)


def save_ours(widget: Any, path: Path) -> Path:
    (saved,) = result_of(widget).save(str(path), plugin='napari-samnet')
    return Path(saved)


@pytest.mark.usefixtures('napari_s_own')
def test_the_file_itself_says_it(
    corrected: Any, make_widget: Any, tmp_path: Path, own_home: Path
) -> None:
    """On another computer, or by a program that knows nothing of us."""
    file = save_ours(corrected, tmp_path / 'mine.tif')
    with tifffile.TiffFile(file) as content:
        told = json.loads(content.shaped_metadata[0]['napari-samnet'])
    assert told['corrected'] == ['3', '4']
    assert told['drawn'] == ['1', '3']
    np.testing.assert_array_equal(
        tifffile.imread(file), result_of(corrected).data
    )
    shutil.rmtree(own_home)
    viewer = ViewerModel()
    widget = open_film(viewer, make_widget)
    (opened,) = viewer.open(file, plugin='napari', layer_type='labels')
    check_it_goes_on(widget, opened)


@pytest.mark.parametrize('says_so', [True, False])
def test_it_is_dropped_onto_the_dock(
    says_so: bool,
    corrected: Any,
    make_widget: Any,
    tmp_path: Path,
    own_home: Path,
    drop: Any,
) -> None:
    file = tmp_path / 'mine.tif'
    if says_so:
        save_ours(corrected, file)
        shutil.rmtree(own_home)
    else:
        labels = result_of(corrected).data
        tifffile.imwrite(file, labels, photometric='minisblack')
    viewer = ViewerModel()
    widget = open_film(viewer, make_widget)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(file))])
    assert drop(widget.panel.drop, mime)
    widget.wait(WAIT)
    # Nothing is carried: it is a result, and waits for corrections.
    assert [layer.name for layer in viewer.layers] == ['film', 'mine']
    assert 'plane 1 annotated, planes 3 and 4 corrected' in widget.message
    check_it_goes_on(widget, viewer.layers['mine'])


def test_the_annotation_is_not_taken_for_its_result(
    corrected: Any, make_widget: Any, drop: Any, tmp_path: Path
) -> None:
    """Dropped on another day, it is carried as it was on the first."""
    file = tmp_path / 'mask.tif'
    labels = corrected.viewer.layers['mask'].data
    tifffile.imwrite(file, labels, photometric='minisblack')
    viewer = ViewerModel()
    widget = open_film(viewer, make_widget)
    viewer.dims.set_current_step(0, 1)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(file))])
    assert drop(widget.panel.drop, mime)
    widget.wait(WAIT)
    assert not viewer.layers['mask'].metadata
    assert 'film ← mask propagated' in viewer.layers


@pytest.mark.usefixtures('napari_s_own')
def test_labels_of_the_annotation_count_by_its_name(
    corrected: Any, make_widget: Any, tmp_path: Path
) -> None:
    """Other labels on the stack are not taken for what was drawn since."""
    file = save_ours(corrected, tmp_path / 'mine.tif')
    viewer = ViewerModel()
    widget = open_film(viewer, make_widget)
    (opened,) = viewer.open(file, plugin='napari', layer_type='labels')
    others = np.full((5, *SHAPE), 3, np.int32)
    viewer.add_labels(others, name='others', **PLACE)
    widget.set_labels('others')
    widget.go_on(1, wait=True, timeout=WAIT)
    assert not (opened.data == 3).any()


def test_a_stack_that_was_opened_again_keeps_its_result(
    corrected: Any,
) -> None:
    viewer, result = corrected.viewer, result_of(corrected)
    viewer.layers.remove('film')
    viewer.add_image(film()[0], name='film', **PLACE)
    corrected.set_planes('propagate')
    assert states(corrected)[3] == 'corrected'
    before = result.data[3:].copy()
    corrected.go_on(1, wait=True, timeout=WAIT)
    np.testing.assert_array_equal(result.data[3:], before)


def test_another_type_of_numbers_is_no_correction(corrected: Any) -> None:
    """napari converts labels by its menu."""
    result = result_of(corrected)
    result.data = result.data.astype(np.uint8)
    corrected.refresh()
    assert states(corrected)[2] == 'good'
    draw(result, 1, 9)
    corrected.go_on(1, wait=True, timeout=WAIT)
    assert (result.data[0] == 9).sum() > 200


def test_a_stack_that_has_changed_is_said(corrected: Any) -> None:
    stack, result = corrected.viewer.layers['film'], result_of(corrected)
    stack.scale = (5, 1, 1)
    with pytest.raises(InputError, match='give it the same scale'):
        corrected.go_on(1)
    stack.scale = PLACE['scale']
    stack.data = stack.data[:3]
    with pytest.raises(InputError, match='no propagated result to go on'):
        corrected.go_on(1)
    with pytest.raises(InputError, match='5 × 80 × 100 pixels, the stack 3'):
        corrected.go_on(1, layer=result)


def test_the_table_is_that_of_the_selected_result(corrected: Any) -> None:
    viewer, first = corrected.viewer, result_of(corrected)
    other = np.zeros((5, *SHAPE), np.int32)
    other[0] = film()[1][0]
    viewer.add_labels(other, name='other', **PLACE)
    corrected.set_labels('other')
    corrected.run(wait=True, timeout=WAIT)
    second = viewer.layers['film ← other propagated']
    viewer.layers.selection.active = second
    assert states(corrected)[0] == 'annotated'
    viewer.layers.selection.active = first
    assert states(corrected)[1] == 'annotated'
    # What an earlier one was like is no matter of a new one.
    for layer in (first, second):
        viewer.layers.remove(layer)
    notification_manager.records.clear()
    corrected.run(wait=True, timeout=WAIT)
    assert not notification_manager.records
    assert states(corrected)[1] == 'good'


def test_plain_labels_are_not_saved_so(
    viewer: Any, mask: Any, tmp_path: Path
) -> None:
    layer = viewer.add_labels(mask, name='cells')
    with pytest.raises(InputError, match='is no result of a propagation'):
        write_series(
            str(tmp_path / 'cells.tif'), *layer.as_layer_data_tuple()[:2]
        )
    assert not [*tmp_path.iterdir()]


def test_where_nothing_can_be_noted(corrected: Any, own_home: Path) -> None:
    shutil.rmtree(own_home)
    own_home.write_text('no folder')
    corrected.go_on(4, direction='backwards', wait=True, timeout=WAIT)
    assert states(corrected)[4] == 'corrected'
