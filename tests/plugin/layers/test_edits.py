"""What the user made of a result is kept; only untouched results change."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_samnet.plugin.layers.edits import (
    fingerprint,
    is_edited,
    keep_pristine,
)
from napari_samnet.plugin.layers.into import add_into
from napari_samnet.plugin.layers.label_writes import (
    update_labels,
    write_labels,
)
from napari_samnet.plugin.layers.results import Results
from napari_samnet.plugin.model.grids import grid_of
from napari_samnet.plugin.model.request import Product

GRID = grid_of(Image(np.zeros((80, 100))))
STACK = grid_of(Image(np.zeros((4, 80, 100))))

DATA: dict[str, Any] = {
    'image': np.zeros((80, 100)),
    'labels': np.pad(np.full((9, 9), 3, np.uint8), ((0, 71), (0, 91))),
    'points': np.arange(8.0).reshape(4, 2),
    'shapes': [np.eye(4, 2) * 9, np.eye(5, 2) * 7],
    'vectors': np.arange(12.0).reshape(3, 2, 2),
}


def product(kind: str, data: Any = None, **changes: Any) -> Product:
    keywords: dict[str, Any] = {}
    data = deepcopy(DATA[kind]) if data is None else data
    if kind == 'vectors':
        keywords = {
            'features': {'magnitude': np.arange(float(len(data)))},
            'edge_color': 'magnitude',
            'edge_colormap': 'plasma',
            'edge_contrast_limits': (0.0, 3.0),
        }
    if kind == 'shapes':
        keywords = {'shape_type': ['polygon'] * len(data)}
    fields: dict[str, Any] = {
        'kind': kind,
        'key': f'{kind} 1',
        'name': f'a {kind}',
        'data': data,
        'grid': GRID,
        'keywords': keywords,
        'owner': None,
        'about': {'role': kind},
    }
    return Product(**{**fields, **changes})


def duplicate(viewer: ViewerModel, layer: Any) -> Any:
    """What *Duplicate* in the layer list does."""
    data, state, kind = layer.as_layer_data_tuple()
    state['name'] = f'{layer.name} copy'
    copy = Layer.create(deepcopy(data), state, kind)
    viewer.layers.append(copy)
    return copy


def paint(layer: Any) -> None:
    layer.data_setitem((np.array([40]), np.array([50])), 7)


def paint_behind_napari(layer: Any) -> None:
    layer.data[40, 50] = 7


def recolor(layer: Any) -> None:
    layer.colormap = {3: 'red', None: 'transparent'}


def name_an_id(layer: Any) -> None:
    layer.features = {'index': [3], 'name': ['nose']}


def move_a_point(layer: Any) -> None:
    layer.data = layer.data + np.eye(4, 2)


def move_in_place(layer: Any) -> None:
    layer.data[0] += 3


def add_a_point(layer: Any) -> None:
    layer.add([[9, 9]])


def remove_a_point(layer: Any) -> None:
    layer.selected_data = {1}
    layer.remove_selected()


def color_the_faces(layer: Any) -> None:
    layer.face_color = 'magenta'


def note_something(layer: Any) -> None:
    layer.features = {'note': ['seen'] * len(layer.data)}


def drag_a_vertex(layer: Any) -> None:
    layer.data = [layer.data[0] + 2, *layer.data[1:]]


def draw_a_shape(layer: Any) -> None:
    layer.add(np.eye(4, 2) * 20, shape_type='polygon')


def filter_the_pixels(layer: Any) -> None:
    layer.data = layer.data + 1


EDITS: list[tuple[str, Callable[[Any], None]]] = [
    ('labels', paint),
    ('labels', paint_behind_napari),
    ('labels', recolor),
    ('labels', name_an_id),
    ('points', move_a_point),
    ('points', move_in_place),
    ('points', add_a_point),
    ('points', remove_a_point),
    ('points', color_the_faces),
    ('points', note_something),
    ('shapes', drag_a_vertex),
    ('shapes', draw_a_shape),
    ('shapes', color_the_faces),
    ('shapes', note_something),
    ('image', filter_the_pixels),
    ('vectors', move_in_place),
]


#: One edit of each kind; then all of them on layers with another name.
CASES = [
    *((kind, edit, False) for kind, edit in dict(EDITS).items()),
    *((kind, edit, True) for kind, edit in EDITS),
]


@pytest.mark.parametrize(('kind', 'edit', 'rename'), CASES)
def test_an_edited_result_is_kept_and_the_new_goes_beside(
    viewer: ViewerModel, kind: str, edit: Any, rename: bool
) -> None:
    results = Results(viewer)
    (layer,) = results.show([product(kind)])
    edit(layer)
    if rename:
        layer.name = 'mine'
    kept = fingerprint(layer)
    (fresh,) = results.show([product(kind)])
    assert fresh is not layer
    assert fingerprint(layer) == kept
    assert fresh.name == (f'a {kind}' if rename else f'a {kind}, run 2')
    (note,) = results.take_notes()
    assert 'was edited and is kept' in note
    # The one beside is ours, and is what later runs update.
    (again,) = results.show([product(kind)])
    assert again is fresh
    assert len(viewer.layers) == 2


@pytest.mark.parametrize('kind', DATA)
def test_what_is_no_edit_does_not_part_them(
    viewer: ViewerModel, kind: str
) -> None:
    results = Results(viewer)
    (layer,) = results.show([product(kind)])
    layer.name, layer.opacity, layer.visible = 'mine', 0.3, False
    (again,) = results.show([product(kind)])
    assert again is layer
    assert (layer.name, layer.opacity, layer.visible) == ('mine', 0.3, False)


@pytest.mark.parametrize('kind', DATA)
def test_a_duplicate_is_the_user_s(viewer: ViewerModel, kind: str) -> None:
    results = Results(viewer)
    (layer,) = results.show([product(kind)])
    copy = duplicate(viewer, layer)
    # Even where it lies below the original, or the original is gone.
    viewer.layers.move(viewer.layers.index(copy), 0)
    before = fingerprint(copy)
    new = DATA[kind]
    new = [x + 4 for x in new] if kind == 'shapes' else new + 4
    (again,) = results.show([product(kind, new)])
    assert again is layer
    viewer.layers.remove(layer)
    (third,) = results.show([product(kind, new)])
    assert third is not copy
    assert fingerprint(copy) == before


def test_a_new_dock_still_knows_what_was_edited(viewer: ViewerModel) -> None:
    (layer,) = Results(viewer).show([product('labels')])
    paint(layer)
    (fresh,) = Results(viewer).show([product('labels')])
    assert fresh is not layer
    assert layer.data[40, 50] == 7


def test_an_undone_run_is_kept(viewer: ViewerModel) -> None:
    results = Results(viewer)
    (layer,) = results.show([product('labels')])
    list(results.show([product('labels', DATA['labels'] * 2)]))
    layer.undo()
    (fresh,) = results.show([product('labels', DATA['labels'] * 2)])
    assert fresh is not layer
    np.testing.assert_array_equal(layer.data, DATA['labels'])


def test_an_undone_edit_is_none(viewer: ViewerModel) -> None:
    results = Results(viewer)
    (layer,) = results.show([product('labels')])
    paint(layer)
    layer.undo()
    assert not is_edited(layer)
    (again,) = results.show([product('labels')])
    assert again is layer


def test_our_own_changes_are_no_edits(viewer: ViewerModel) -> None:
    (layer,) = Results(viewer).show([product('labels')])
    pixel = np.array([3]), np.array([4])
    with keep_pristine(layer):
        write_labels(layer, [(pixel, np.array([9]))])
    assert layer.data[3, 4] == 9
    assert not is_edited(layer)
    layer.undo()
    assert not is_edited(layer)
    with keep_pristine(layer):
        paint(layer)
    assert is_edited(layer)


@pytest.mark.parametrize('lock', ['editable', 'preserve_labels'])
def test_a_protected_result_is_kept(viewer: ViewerModel, lock: str) -> None:
    results = Results(viewer)
    (layer,) = results.show([product('labels')])
    setattr(layer, lock, lock == 'preserve_labels')
    (fresh,) = results.show([product('labels', DATA['labels'] * 2)])
    assert fresh is not layer
    np.testing.assert_array_equal(layer.data, DATA['labels'])
    assert 'is protected and is kept' in results.take_notes()[0]


@pytest.mark.parametrize('kind', DATA)
def test_a_run_cut_short_never_replaces_a_whole_one(
    viewer: ViewerModel, kind: str
) -> None:
    results = Results(viewer)
    (whole,) = results.show([product(kind)])
    before = fingerprint(whole)
    new = DATA[kind]
    new = [x + 4 for x in new] if kind == 'shapes' else new + 4
    for _ in range(2):
        (part,) = results.show([product(kind, new)], partial=True)
    assert part.name == f'a {kind}, stopped'
    assert fingerprint(whole) == before
    assert len(viewer.layers) == 2


def test_a_whole_run_replaces_one_that_was_cut_short(
    viewer: ViewerModel,
) -> None:
    results = Results(viewer)
    (part,) = results.show([product('labels')], partial=True)
    (whole,) = results.show([product('labels', DATA['labels'] * 2)])
    assert whole is part
    assert part.name == 'a labels'


def planes_of(kind: str, numbers: tuple[int, ...]) -> Any:
    """Something on each of some planes of a stack."""
    if kind in ('labels', 'image'):
        data = np.zeros((4, 80, 100), np.uint8)
        data[list(numbers), :9, :9] = 3
        return data
    if kind == 'points':
        return np.array([[n, 5.0, 5] for n in numbers])
    if kind == 'shapes':
        box = np.array([[0, 1.0, 1], [0, 1, 9], [0, 9, 9]])
        return [box + (n, 0, 0) for n in numbers]
    return np.array([[[n, 5.0, 5], [0, 1, 1]] for n in numbers])


def planes_in(layer: Any) -> set[int]:
    data = layer.data
    if isinstance(data, list):
        return {int(outline[0, 0]) for outline in data}
    if data.ndim == 3 and data.shape[1:] == (2, 3):
        return set(data[:, 0, 0].astype(int))
    if data.ndim == 2:
        return set(data[:, 0].astype(int))
    return set(np.flatnonzero(data.any((1, 2))))


@pytest.mark.parametrize('kind', DATA)
def test_fewer_planes_leave_the_others(viewer: ViewerModel, kind: str) -> None:
    results = Results(viewer)
    for numbers in ((0, 1, 3), (1, 2)):
        made = product(
            kind,
            planes_of(kind, numbers),
            grid=STACK,
            planes=tuple((n,) for n in numbers),
        )
        (layer,) = results.show([made])
    assert len(viewer.layers) == 1
    assert planes_in(layer) == {0, 1, 2, 3}
    assert not is_edited(layer)
    if kind in ('points', 'shapes', 'vectors'):
        assert len(layer.data) == 4


def test_rows_keep_their_features_when_planes_are_joined(
    viewer: ViewerModel,
) -> None:
    results = Results(viewer)
    for numbers, size in (((0, 1), 3.0), ((1, 2), 8.0)):
        keywords = {
            'features': {'name': [f'{n} of {size:g}' for n in numbers]},
            'size': np.full(2, size),
        }
        import pandas as pd

        keywords['features'] = pd.DataFrame(keywords['features'])
        (layer,) = results.show(
            [
                product(
                    'points',
                    planes_of('points', numbers),
                    grid=STACK,
                    keywords=keywords,
                    planes=tuple((n,) for n in numbers),
                )
            ]
        )
    assert list(layer.features['name']) == ['0 of 3', '1 of 8', '2 of 8']
    assert list(layer.size) == [3, 8, 8]


def test_only_the_chosen_ids_are_touched(viewer: ViewerModel) -> None:
    results = Results(viewer)
    first = np.zeros((80, 100), np.uint8)
    first[:10], first[20:30] = 1, 2
    (layer,) = results.show([product('labels', first)])
    second = np.zeros_like(first)
    second[40:50] = 2
    (again,) = results.show(
        [product('labels', second, ids=frozenset({2}), full=second)]
    )
    assert again is layer
    assert (layer.data[:10] == 1).all()
    assert (layer.data[40:50] == 2).all()
    assert not layer.data[20:30].any()
    assert results.take_notes() == [
        "wrote id 2 (2,000 pixels) into 'a labels'"
    ]


@pytest.mark.parametrize('kind', ['points', 'shapes'])
def test_points_and_shapes_can_be_restored(
    viewer: ViewerModel, kind: str
) -> None:
    results = Results(viewer)
    (layer,) = results.show([product(kind)])
    first = fingerprint(layer)
    assert results.restorable == []
    new = DATA[kind][:1]
    new = [x + 4 for x in new] if kind == 'shapes' else new + 4
    list(results.show([product(kind, new)]))
    second = fingerprint(layer)
    assert results.restorable == [layer]
    results.restore(layer)
    assert fingerprint(layer) == first != second
    results.restore(layer)
    assert fingerprint(layer) == second
    results.restore(layer)
    # What was brought back is the user's wish, and stays.
    (fresh,) = results.show([product(kind, new)])
    assert fresh is not layer
    assert fingerprint(layer) == first


def test_contrast_and_colors_of_the_user_stay(viewer: ViewerModel) -> None:
    results = Results(viewer)
    look = {'colormap': 'viridis', 'contrast_limits': (0, 1)}
    (image,) = results.show([product('image', keywords=look)])
    (arrows,) = results.show([product('vectors')])
    image.contrast_limits = (0.2, 0.6)
    arrows.edge_colormap = 'hsv'
    (again,) = results.show([product('image', keywords=look)])
    list(results.show([product('vectors')]))
    assert again is image
    assert tuple(image.contrast_limits) == (0.2, 0.6)
    assert arrows.edge_colormap.name == 'hsv'
    assert len(viewer.layers) == 2


class TestInto:
    """Writing into labels of the user."""

    def test_preserved_labels_stay(self, viewer: ViewerModel) -> None:
        existing = np.zeros((80, 100), np.int32)
        existing[:10] = 5
        layer = viewer.add_labels(existing.copy(), name='old')
        layer.preserve_labels = True
        data = np.zeros((80, 100), np.uint8)
        data[5:20] = 7
        written = add_into(layer, product('labels', data), GRID)
        assert (layer.data[:10] == 5).all()
        assert (layer.data[10:20] == 7).all()
        assert str(written) == "wrote id 7 (1,000 pixels) into 'old'"

    def test_locked_labels_are_refused(self, viewer: ViewerModel) -> None:
        layer = viewer.add_labels(np.zeros((80, 100), np.uint8), name='old')
        layer.editable = False
        with pytest.raises(ValueError, match="'old' is locked"):
            add_into(layer, product('labels'), GRID)
        assert not layer.data.any()

    def test_many_ids_are_counted(self, viewer: ViewerModel) -> None:
        layer = viewer.add_labels(np.zeros((80, 100), np.uint8), name='old')
        data = np.tile(np.arange(100, dtype=np.uint8), (80, 1))
        written = add_into(layer, product('labels', data), GRID)
        assert str(written) == "wrote 99 ids (7,920 pixels) into 'old'"


@pytest.mark.slow
def test_more_than_sixteen_million_pixels_are_one_step_of_undo(
    viewer: ViewerModel,
) -> None:
    shape = (4200, 4100)
    layer = viewer.add_labels(np.zeros(shape, np.uint8))
    layer.data_setitem((np.array([3]), np.array([4])), 9)
    written = update_labels(layer, np.full(shape, 2, np.uint8))
    assert written is not None
    assert written.pixels == 4200 * 4100 > 16_000_000
    assert (layer.data == 2).all()
    layer.undo()
    assert layer.data[3, 4] == 9
    assert layer.data.sum() == 9
    layer.redo()
    assert (layer.data == 2).all()
    grid = grid_of(Image(np.zeros(shape, np.uint8)))
    add_into(
        layer, product('labels', np.full(shape, 3, np.uint8), grid=grid), grid
    )
    assert (layer.data == 3).all()
    layer.undo()
    assert (layer.data == 2).all()
