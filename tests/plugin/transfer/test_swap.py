"""What belongs to an image follows it when source and target are swapped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

WAIT = 60.0
BOX = np.array([[10.0, 20.0], [10.0, 60.0], [50.0, 60.0], [50.0, 20.0]])

pytestmark = pytest.mark.usefixtures('shared_matches')


@pytest.fixture
def covering(viewer: Any, photos: Any, mask: Any, make_widget: Any) -> Any:
    """Two images of one size that lie on each other, labels of the first."""
    viewer.add_image(photos[0], name='first')
    viewer.add_labels(mask, name='of the first')
    viewer.add_image(255 - photos[0], name='second')
    return make_widget(viewer)


@pytest.fixture
def swap(covering: Any, qtbot: Any) -> Any:
    """Press the button."""

    def do() -> None:
        qtbot.mouseClick(covering.panel.swap, Qt.MouseButton.LeftButton)

    return do


def chosen(widget: Any) -> tuple[str, str | None]:
    labels = widget.labels
    return widget.source.name, None if labels is None else labels.name


def choose(combo: Any, text: str) -> None:
    """Choose a row as a user does."""
    row = combo.findText(text)
    combo.setCurrentIndex(row)
    combo.activated.emit(row)


@pytest.mark.parametrize('by_hand', [False, True])
def test_labels_follow_their_image(
    covering: Any, swap: Any, mask: Any, by_hand: bool
) -> None:
    if by_hand:
        choose(covering.panel.labels, 'of the first')
    assert chosen(covering) == ('first', 'of the first')
    swap()
    assert chosen(covering) == ('second', None)
    assert covering.reason == ''
    assert "'of the first' stays with its image, which is" in covering.message
    # What is drawn now is of the second image.
    covering.viewer.add_labels(mask // 2, name='of the second')
    assert chosen(covering) == ('second', 'of the second')
    for _ in range(2):
        swap()
        assert chosen(covering) == ('first', 'of the first')
        swap()
        assert chosen(covering) == ('second', 'of the second')
    covering.viewer.layers.remove('of the first')
    swap()
    assert chosen(covering) == ('first', None)


def test_that_an_image_has_none_is_remembered(
    covering: Any, swap: Any, mask: Any
) -> None:
    covering.viewer.add_labels(mask, name='notes')
    choose(covering.panel.labels, 'none')
    swap()
    swap()
    assert chosen(covering) == ('first', None)


def test_labels_follow_where_the_source_is_chosen_instead(
    covering: Any,
) -> None:
    """Before a run, choosing images says nothing of whose the labels are."""
    choose(covering.panel.source, 'second')
    assert chosen(covering) == ('second', 'of the first')
    choose(covering.panel.source, 'first')
    covering.run(wait=True, timeout=WAIT)
    choose(covering.panel.source, 'second')
    assert covering.target.name == 'first'
    assert chosen(covering) == ('second', None)
    choose(covering.panel.source, 'first')
    assert chosen(covering) == ('first', 'of the first')


def test_nothing_is_written_into_labels_of_the_source(
    covering: Any, swap: Any, mask: Any
) -> None:
    """Those of the target became those of the source."""
    mine = covering.viewer.add_labels(np.zeros_like(mask), name='mine')
    covering.panel.into.choose(mine)
    swap()
    assert covering.panel.into.layer is None


def test_a_region_follows_its_image(covering: Any, swap: Any) -> None:
    covering.viewer.add_shapes([BOX], name='damage')
    for leave_out, image, other in (
        (True, 'source', 'target'),
        (False, 'target', 'source'),
        (False, 'both', 'both'),
    ):
        covering.set_region('damage', leave_out=leave_out, image=image)
        swap()
        assert covering.panel.region.leave_out is leave_out
        expected = ('source', 'target') if other == 'both' else (other,)
        assert covering.panel.region.images == expected
        swap()


def test_a_choice_goes_with_the_image_that_it_was_made_for(
    covering: Any, photos: Any, mask: Any
) -> None:
    """The next pair is as good as the first one."""
    choose(covering.panel.labels, 'of the first')
    covering.viewer.layers.clear()
    covering.viewer.add_image(photos[0], name='third')
    covering.viewer.add_image(photos[1], name='fourth')
    covering.viewer.add_labels(mask, name='of the third')
    assert chosen(covering) == ('third', 'of the third')


def test_a_dock_that_is_not_shown_yet_takes_labels(
    viewer: Any, photos: Any, mask: Any, make_widget: Any
) -> None:
    widget = make_widget(viewer)
    widget.hide()
    viewer.add_image(photos[0], name='first')
    viewer.add_labels(mask, name='of the first')
    viewer.add_image(photos[1], name='second')
    widget.run(wait=True, timeout=WAIT)
    assert 'second ← of the first' in viewer.layers
