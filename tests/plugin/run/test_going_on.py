"""Planes that the user has annotated stay, and lead the others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.capture import METADATA

WAIT = 120.0

pytestmark = pytest.mark.slow

SHAPE = 80, 100
#: Where something is drawn that nobody has marked before.
ROWS, COLUMNS = np.mgrid[50:70, 5:25].reshape(2, -1)


def picture(place: int) -> tuple[np.ndarray, np.ndarray]:
    """A disk that moves over a texture, and its label."""
    texture = np.random.default_rng(0).integers(60, 120, SHAPE)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    disk = (rows - 35) ** 2 + (columns - 40 - 4 * place) ** 2 < 15**2
    shown = np.clip(texture + 120 * disk, 0, 255).astype(np.uint8)
    return shown, disk.astype(np.int32)


@pytest.fixture
def done(viewer: Any, make_widget: Any) -> Any:
    """Five planes, of which the second was annotated and carried."""
    film = np.stack([picture(place)[0] for place in range(5)])
    labels = np.zeros(film.shape, np.int32)
    labels[1] = picture(1)[1]
    viewer.add_image(film, name='film')
    viewer.add_labels(labels, name='mask')
    widget = make_widget(viewer, size=96)
    widget.set_labels('mask')
    widget.set_planes('propagate')
    viewer.dims.set_point(0, 1)
    widget.run(wait=True, timeout=WAIT)
    return widget


def made(widget: Any) -> Any:
    return widget.viewer.layers['film ← mask propagated']


def draw(layer: Any, plane: int, number: int) -> None:
    """One stroke of the brush."""
    at = np.full(ROWS.size, plane), ROWS, COLUMNS
    layer.data_setitem(at, number)


def test_what_was_annotated_since_is_taken_along(done: Any) -> None:
    mask, result = done.viewer.layers['mask'], made(done)
    before = result.data.copy()
    draw(mask, 3, 5)
    done.go_on(2, wait=True, timeout=WAIT)
    np.testing.assert_array_equal(result.data[3], mask.data[3])
    np.testing.assert_array_equal(result.data[1], mask.data[1])
    assert (result.data[4] == 5).sum() > 200
    assert 'Plane 3 taken from the annotation' in done.message
    assert 'Plane 1 kept as annotated' in done.message
    assert result.metadata[METADATA]['annotated'] == [1, 2, 3]
    # One step of undo, after which it can be done once more.
    result.undo()
    np.testing.assert_array_equal(result.data, before)
    done.go_on(2, wait=True, timeout=WAIT)
    np.testing.assert_array_equal(result.data[3], mask.data[3])
    assert (result.data[4] == 5).sum() > 200


def test_what_was_corrected_in_the_result_counts_more(done: Any) -> None:
    mask, result = done.viewer.layers['mask'], made(done)
    draw(mask, 3, 5)
    draw(result, 3, 8)
    corrected = result.data[3].copy()
    for _ in range(2):
        done.go_on(2, direction='forwards', wait=True, timeout=WAIT)
        np.testing.assert_array_equal(result.data[3], corrected)
        assert (result.data[4] == 8).sum() > 200
        assert not (result.data == 5).any()


def test_a_locked_plane_is_left_alone(done: Any) -> None:
    mask, result = done.viewer.layers['mask'], made(done)
    locked = result.data[3].copy()
    done.lock_planes(3)
    draw(mask, 3, 5)
    done.go_on(2, wait=True, timeout=WAIT)
    np.testing.assert_array_equal(result.data[3], locked)


def test_an_erased_plane_stays_empty(done: Any) -> None:
    result = made(done)
    result.data_setitem(np.nonzero(result.data == 1), 1)
    there = np.nonzero(result.data[3])
    result.data_setitem((np.full(there[0].size, 3), *there), 0)
    done.go_on(2, wait=True, timeout=WAIT)
    assert not result.data[3].any()
    assert result.data[4].any()
    assert 'Planes 1 and 3 kept as annotated' in done.message


def test_one_of_which_nothing_is_known_keeps_annotated_planes(
    done: Any, own_home: Path
) -> None:
    mask, result = done.viewer.layers['mask'], made(done)
    shutil.rmtree(own_home)
    saved, name = result.data.astype(np.uint16), result.name
    done.viewer.layers.remove(result)
    opened = done.viewer.add_labels(saved.copy(), name=name)
    draw(mask, 3, 5)
    draw(opened, 1, 4)
    corrected = opened.data.copy()
    for _ in range(2):
        done.go_on(2, wait=True, timeout=WAIT)
        # What is in the file may have been corrected after it was drawn.
        for plane in (1, 2, 3):
            np.testing.assert_array_equal(opened.data[plane], corrected[plane])
    assert (opened.data[0] == 4).sum() > 200


def test_ids_that_the_result_cannot_hold_are_refused(done: Any) -> None:
    mask, result = done.viewer.layers['mask'], made(done)
    done.viewer.layers.remove(result)
    done.viewer.add_labels(result.data.astype(np.uint8), name=result.name)
    draw(mask, 3, 300)
    with pytest.raises(InputError, match='has 300 on plane 3: propagate it'):
        done.go_on(2)


def test_after_runs_for_one_id_each(done: Any) -> None:
    """Only what was painted counts as corrected, not what was carried."""
    mask, result = done.viewer.layers['mask'], made(done)
    draw(mask, 1, 2)
    for number in (1, 2):
        done.set_ids([number])
        done.run(wait=True, timeout=WAIT)
    done.set_ids(None)
    assert made(done) is result
    assert {1, 2} <= set(np.unique(result.data[3]))
    draw(mask, 3, 2)
    done.go_on(0, direction='forwards', wait=True, timeout=WAIT)
    taken = result.data[3]
    assert (taken[ROWS, COLUMNS] == 2).all()
    assert (taken == 1).any()
    assert result.metadata[METADATA]['annotated'] == [0, 1, 3]


def test_planes_at_other_times_are_others(
    viewer: Any, make_widget: Any
) -> None:
    """What was annotated at one time says nothing of the same depth later."""
    film = np.stack(
        [[picture(z)[0] for z in range(3)], [picture(z)[0] for z in range(3)]]
    )
    labels = np.zeros(film.shape, np.int32)
    labels[0, 1] = picture(1)[1]
    viewer.add_image(film, name='film', scale=(1, 5, 1, 1))
    viewer.add_labels(labels, name='mask', scale=(1, 5, 1, 1))
    widget = make_widget(viewer, size=96)
    widget.set_labels('mask')
    widget.set_planes('propagate', axis=1)
    viewer.dims.set_current_step(0, 0)
    viewer.dims.set_current_step(1, 1)
    widget.run(wait=True, timeout=WAIT)
    widget.go_on(0, wait=True, timeout=WAIT)
    result = made(widget)
    first = result.data[0].copy()
    at = np.nonzero(picture(2)[1])
    result.data_setitem((*np.array([[1, 2]]).T.repeat(at[0].size, 1), *at), 1)
    viewer.dims.set_current_step(0, 1)
    widget.go_on(2, wait=True, timeout=WAIT)
    assert result.data[1].any(axis=(1, 2)).all()
    np.testing.assert_array_equal(result.data[0], first)
    assert 'kept as annotated' not in widget.message
    # What was annotated before still counts where it was.
    viewer.dims.set_current_step(0, 0)
    widget.go_on(1, wait=True, timeout=WAIT)
    assert 'Plane 0 kept as annotated' in widget.message


def test_one_that_was_removed_meanwhile_comes_back_by_its_name(
    done: Any,
) -> None:
    result = made(done)
    done.go_on(2)
    done.viewer.layers.remove(result)
    done.wait(WAIT)
    assert made(done) is not result
