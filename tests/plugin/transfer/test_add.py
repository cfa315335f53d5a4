"""Further layers of a match by one click, without a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.edits import about_layer

pytestmark = pytest.mark.usefixtures('shared_matches')

WAIT = 60.0


@pytest.fixture
def done(ready: Any) -> Any:
    ready.set_outputs('labels')
    ready.run(wait=True, timeout=WAIT)
    return ready


def choose(widget: Any, text: str) -> None:
    """Open the menu and choose a line of it."""
    menu = widget.panel.add.choices
    menu.aboutToShow.emit()
    next(a for a in menu.actions() if a.text() == text).trigger()
    widget.wait(WAIT)


def test_every_output_is_one_click(done: Any) -> None:
    layers = done.viewer.layers
    before = done.verdict
    # Options that change now are for the next run.
    done.set_options(window=7)
    for text, name in (
        ('Flow', 'photo → other flow'),
        ('Backward flow', 'other → photo flow'),
        ('Transferred image', 'photo like other'),
        ('Confidence', 'photo → other confidence'),
        ('Warped target', 'other warped to photo'),
    ):
        choose(done, text)
        assert layers[name].visible
        assert f'Added {name!r}' in done.message
        assert about_layer(layers[name])['verdict'] == before.as_dict()
    assert done.verdict is before
    forth, back = (
        about_layer(layers[name])['correspondence']
        for name in ('photo → other flow', 'other → photo flow')
    )
    np.testing.assert_allclose(forth.backward, back.forward)
    np.testing.assert_allclose(
        layers['other → photo flow'].translate, layers['other'].translate
    )


@pytest.mark.slow
def test_annotations_are_one_click(done: Any) -> None:
    done.viewer.add_points([[35.0, 45]], name='dots')
    choose(done, "Points 'dots'")
    assert 'other ← dots' in done.viewer.layers
    menu = done.panel.add.choices
    menu.aboutToShow.emit()
    texts = [action.text() for action in menu.actions()]
    assert "Labels 'mask'" in texts
    assert not any('←' in text for text in texts)


def test_added_layers_follow_landmarks_and_reappear(done: Any) -> None:
    layers = done.viewer.layers
    done.add('flow', wait=True, timeout=WAIT)
    made = layers['photo → other flow']
    before = made.data.copy()
    made.visible = False
    led = done.correspondence.warp_points([[35.0, 45]])[0]
    done.add_landmark((35, 45), led + (6, 5), wait=True)
    assert 'meets 1 landmark' in done.message
    assert not np.allclose(made.data, before)
    assert not made.visible
    done.add('flow', wait=True, timeout=WAIT)
    assert made.visible


def test_without_a_match_it_is_said(ready: Any) -> None:
    assert not ready.panel.add.isEnabled()
    with pytest.raises(InputError, match='no match to make more of'):
        ready.add('flow')
    with pytest.raises(InputError, match='no output flew'):
        ready.add('flew')
