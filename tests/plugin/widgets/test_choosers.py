"""Choosers keep the layer, whatever happens to the list."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_samnet.plugin.widgets.choosers import LayerChooser, PairChoosers


def is_image(layer: Any) -> bool:
    return isinstance(layer, Image)


@pytest.fixture
def images(viewer: ViewerModel) -> list[Any]:
    return [
        viewer.add_image(np.zeros((4, 4)), name=name) for name in ('a', 'b')
    ]


@pytest.fixture
def pair(
    qtbot: Any, viewer: ViewerModel, images: list[Any]
) -> tuple[LayerChooser, LayerChooser, PairChoosers]:
    first, second = (LayerChooser(viewer, is_image) for _ in range(2))
    for chooser in (first, second):
        qtbot.addWidget(chooser)
        for name in ('inserted', 'removed', 'reordered', 'renamed'):
            emitter = getattr(viewer.layers.events, name)
            emitter.connect(lambda _, c=chooser: c.refresh())
    return first, second, PairChoosers(first, second)


def test_renaming_keeps_the_layer(
    qtbot: Any, viewer: ViewerModel, images: list[Any], pair: Any
) -> None:
    _, second, _ = pair
    heard = []
    second.chosen.connect(heard.append)
    images[1].name = 'renamed'
    assert second.layer is images[1]
    assert second.currentText() == 'renamed'
    assert heard == []


def test_reordering_and_adding_keep_the_layer(
    viewer: ViewerModel, images: list[Any], pair: Any
) -> None:
    first, second, _ = pair
    viewer.layers.move(1, 0)
    viewer.layers.insert(0, Image(np.zeros((4, 4)), name='c'))
    assert (first.layer, second.layer) == (images[0], images[1])
    assert first.currentText() == 'a'


def test_removal_is_reported_once(
    viewer: ViewerModel, images: list[Any], pair: Any
) -> None:
    _, second, _ = pair
    heard = []
    second.chosen.connect(heard.append)
    viewer.layers.remove(images[1])
    assert heard == [None]
    assert second.layer is None
    assert second.currentIndex() == -1


def test_the_two_never_coincide(
    viewer: ViewerModel, images: list[Any], pair: Any
) -> None:
    first, second, _ = pair
    assert first.layer is not second.layer
    first.choose(images[1])
    assert (first.layer, second.layer) == (images[1], images[0])
    second.choose(images[1])
    assert (first.layer, second.layer) == (images[0], images[1])


def test_swap(images: list[Any], pair: Any) -> None:
    first, second, both = pair
    both.swap()
    assert (first.layer, second.layer) == (images[1], images[0])
    both.swap()
    assert (first.layer, second.layer) == (images[0], images[1])


def test_one_image_is_the_source_and_a_second_becomes_the_target(
    qtbot: Any, viewer: ViewerModel
) -> None:
    only = viewer.add_image(np.zeros((4, 4)))
    first, second = (LayerChooser(viewer, is_image) for _ in range(2))
    qtbot.addWidget(first)
    qtbot.addWidget(second)
    PairChoosers(first, second)
    assert (first.layer, second.layer) == (only, None)
    other = viewer.add_image(np.zeros((4, 4)))
    first.refresh()
    second.refresh()
    assert (first.layer, second.layer) == (only, other)


def test_removing_the_source_does_not_take_the_target(
    viewer: ViewerModel, images: list[Any], pair: Any
) -> None:
    first, second, _ = pair
    third = viewer.add_image(np.zeros((4, 4)), name='c')
    viewer.layers.remove(images[0])
    assert second.layer is images[1]
    assert first.layer is third


def test_selection_is_preferred(
    viewer: ViewerModel, images: list[Any], pair: Any
) -> None:
    first, second, both = pair
    third = viewer.add_image(np.zeros((4, 4)), name='c')
    both.prefer([images[1], third])
    assert (first.layer, second.layer) == (images[1], third)


def test_only_what_is_offered_can_be_chosen(
    viewer: ViewerModel, pair: Any
) -> None:
    labels = viewer.add_labels(np.zeros((4, 4), int))
    with pytest.raises(ValueError, match='cannot be chosen'):
        pair[0].choose(labels)


def test_none_is_a_choice_where_offered(
    qtbot: Any, viewer: ViewerModel, images: list[Any]
) -> None:
    chooser = LayerChooser(viewer, is_image, none='none')
    qtbot.addWidget(chooser)
    assert chooser.layer is None
    assert chooser.currentText() == 'none'
    chooser.choose(images[0])
    chooser.choose(None)
    assert chooser.layer is None


def test_long_names_do_not_widen_the_dock(
    qtbot: Any, viewer: ViewerModel, images: list[Any]
) -> None:
    chooser = LayerChooser(viewer, is_image)
    qtbot.addWidget(chooser)
    before = chooser.minimumSizeHint().width()
    images[0].name = 'a very long name of a layer ' * 5
    chooser.refresh()
    assert chooser.minimumSizeHint().width() == before
