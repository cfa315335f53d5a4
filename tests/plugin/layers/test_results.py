"""Products become layers that lie right, update, and disturb nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.arrows import (
    ARROW_LEAST,
    ARROW_LIMIT,
    arrow_style,
    arrows_of,
)
from napari_samnet.plugin.layers.confidence import (
    set_threshold,
    threshold_steps,
)
from napari_samnet.plugin.layers.edits import is_edited
from napari_samnet.plugin.layers.into import add_into
from napari_samnet.plugin.layers.results import Results
from napari_samnet.plugin.model.capture import METADATA
from napari_samnet.plugin.model.grids import grid_of
from napari_samnet.plugin.model.request import Product

GRID = grid_of(Image(np.zeros((80, 100)), scale=(2, 2), units=('um', 'um')))


def product(kind: str, data: Any, **changes: Any) -> Product:
    fields: dict[str, Any] = {
        'kind': kind,
        'key': f'{kind} 1',
        'name': f'a {kind}',
        'data': data,
        'grid': GRID,
        'keywords': {},
        'owner': None,
        'about': {'role': kind},
    }
    return Product(**{**fields, **changes})


def show(viewer: ViewerModel, *products: Product, **rest: Any) -> list[Any]:
    return list(Results(viewer).show(products, **rest))


def arrows(found: Any, count: int = 400, color: str = 'direction') -> Any:
    made = arrows_of(found, (), count=count)
    return product('vectors', made.vectors, keywords=arrow_style(made, color))


@pytest.mark.parametrize(
    ('kind', 'data'),
    [
        ('image', np.zeros((80, 100), np.uint16)),
        ('labels', np.zeros((80, 100), np.int32)),
        ('vectors', np.zeros((3, 2, 2))),
        ('points', np.zeros((3, 2))),
        ('shapes', [np.eye(4, 2)]),
    ],
)
def test_every_kind_is_added_where_it_belongs(
    viewer: ViewerModel, kind: str, data: Any
) -> None:
    (layer,) = show(viewer, product(kind, data))
    assert list(viewer.layers) == [layer]
    np.testing.assert_allclose(layer.scale, (2, 2))
    assert [str(unit) for unit in layer.units] == ['micrometer'] * 2
    assert layer.metadata[METADATA]['role'] == kind


@pytest.mark.parametrize('kind', ['points', 'shapes'])
def test_nothing_can_be_carried(viewer: ViewerModel, kind: str) -> None:
    data: Any = np.empty((0, 3)) if kind == 'points' else []
    grid = grid_of(Image(np.zeros((2, 80, 100))))
    (layer,) = show(viewer, product(kind, data, grid=grid))
    assert layer.ndim == 3
    assert len(layer.data) == 0


@pytest.mark.parametrize('kind', ['image', 'labels'])
def test_a_second_run_updates_the_layer(
    viewer: ViewerModel, kind: str
) -> None:
    results = Results(viewer)
    first = np.zeros((80, 100), np.uint8)
    (layer,) = results.show([product(kind, first)])
    layer.name = 'mine'
    layer.opacity = 0.3
    (again,) = results.show([product(kind, first + 7)])
    assert again is layer
    assert len(viewer.layers) == 1
    assert (layer.data == 7).all()
    assert (layer.name, layer.opacity) == ('mine', 0.3)


def test_points_are_updated_in_place(viewer: ViewerModel) -> None:
    results = Results(viewer)
    for count in (2, 3, 0, 1):
        keywords = {
            'features': {'name': [f'p{n}' for n in range(count)]},
            'size': np.arange(count) + 3.0,
            'face_color': np.eye(4)[:count],
            'opacity': 0.9,
        }
        data = np.arange(2.0 * count).reshape(count, 2)
        made = product('points', data, keywords=keywords)
        (layer,) = results.show([made])
        if count == 2:
            first = layer
            layer.opacity = 0.3
            viewer.layers.selection = {layer}
        assert layer is first
        np.testing.assert_array_equal(layer.data, data)
        np.testing.assert_array_equal(layer.size, keywords['size'])
        np.testing.assert_allclose(layer.face_color, np.eye(4)[:count])
        assert list(layer.features['name']) == keywords['features']['name']
    assert first.opacity == 0.3
    assert viewer.layers.selection == {first}


def test_shapes_are_updated_in_place(viewer: ViewerModel) -> None:
    results = Results(viewer)
    for count in (2, 3, 0, 1):
        keywords = {
            'features': {'name': [f's{n}' for n in range(count)]},
            'edge_width': [n + 1.0 for n in range(count)],
            'face_color': np.eye(4)[:count],
            'shape_type': ['path', 'polygon', 'path'][:count],
        }
        data = [np.eye(4, 2) * 9 + n for n in range(count)]
        made = product('shapes', data, keywords=keywords)
        (layer,) = results.show([made])
        if count == 2:
            first = layer
        assert layer is first
        assert len(layer.data) == count
        for one, other in zip(layer.data, data, strict=True):
            np.testing.assert_allclose(one, other)
        assert list(layer.edge_width) == keywords['edge_width']
        assert list(layer.shape_type) == keywords['shape_type']
        assert list(layer.features['name']) == keywords['features']['name']


def test_updated_labels_can_be_undone(viewer: ViewerModel) -> None:
    results = Results(viewer)
    first = np.zeros((80, 100), np.int32)
    (layer,) = results.show([product('labels', first)])
    new = np.full((80, 100), 70_000, np.int32)
    list(results.show([product('labels', new)]))
    assert (layer.data == 70_000).all()
    layer.undo()
    assert not layer.data.any()


def test_arrows_are_updated_with_their_colors(
    viewer: ViewerModel, make_found: Any
) -> None:
    results = Results(viewer)
    (layer,) = results.show([arrows(make_found(move=(0.1, 0.0)))])
    layer.edge_width = 5
    new = arrows(make_found(move=(0, 0.2)), 900, 'magnitude')
    (again,) = results.show([new])
    assert again is layer
    assert layer.edge_width == 5
    fresh = ViewerModel()
    (like,) = show(fresh, new)
    np.testing.assert_allclose(layer.data, like.data)
    np.testing.assert_allclose(layer.edge_color, like.edge_color)


def test_another_size_replaces_the_layer_in_its_place(
    viewer: ViewerModel,
) -> None:
    results = Results(viewer)
    list(results.show([product('image', np.zeros((80, 100)))]))
    viewer.layers[0].visible = False
    viewer.add_image(np.zeros((3, 3)), name='above')
    smaller = grid_of(Image(np.zeros((40, 50))))
    (layer,) = results.show(
        [product('image', np.zeros((40, 50)), grid=smaller)]
    )
    assert [x.name for x in viewer.layers] == ['a image', 'above']
    assert layer.data.shape == (40, 50)
    assert not layer.visible


def test_a_layer_the_user_removed_comes_back_new(viewer: ViewerModel) -> None:
    results = Results(viewer)
    list(results.show([product('image', np.zeros((80, 100)))]))
    viewer.layers.clear()
    list(results.show([product('image', np.zeros((80, 100)))]))
    assert len(viewer.layers) == 1


def test_results_lie_just_above_their_image(viewer: ViewerModel) -> None:
    source = viewer.add_image(np.zeros((80, 100)), name='source')
    viewer.add_image(np.zeros((80, 100)), name='target')
    show(
        viewer,
        product('image', np.zeros((80, 100)), owner=source.unique_id),
        product('labels', np.zeros((80, 100), int), owner=source.unique_id),
    )
    assert [x.name for x in viewer.layers] == [
        'source',
        'a image',
        'a labels',
        'target',
    ]


def test_camera_sliders_and_selection_stay(viewer: ViewerModel) -> None:
    stack = viewer.add_image(np.zeros((5, 80, 100)))
    viewer.add_image(np.zeros((80, 100)))
    camera = getattr(viewer, 'scene', viewer).camera
    camera.center, camera.zoom = (0, 12, 34), 3.5
    viewer.dims.set_point(0, 3)
    viewer.layers.selection.active = stack
    big = grid_of(Image(np.zeros((800, 1000)), translate=(-300, -300)))
    show(viewer, product('image', np.zeros((800, 1000)), grid=big))
    assert tuple(camera.center) == (0, 12, 34)
    assert camera.zoom == 3.5
    assert viewer.dims.point[0] == 3
    assert set(viewer.layers.selection) == {stack}


def test_nobody_hears_that_a_new_result_is_selected(
    viewer: ViewerModel,
) -> None:
    layer = viewer.add_image(np.zeros((80, 100)))
    heard: list[Any] = []
    viewer.layers.selection.events.active.connect(heard.append)
    viewer.layers.selection.events.changed.connect(heard.append)
    show(viewer, product('image', np.zeros((80, 100))))
    assert not heard
    assert viewer.layers.selection.active is layer


def test_units_of_the_other_layers_stay(viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((80, 100)), scale=(2, 2), units=('um', 'um'))
    show(viewer, product('labels', np.zeros((80, 100), int)))
    assert [str(unit) for unit in viewer.layers.extent.units] == [
        'micrometer',
        'micrometer',
    ]


@pytest.mark.parametrize('count', [1, 16, 400, ARROW_LIMIT])
@pytest.mark.parametrize('shape', [(80, 100), (7, 3000), (1, 1)])
def test_there_are_never_more_arrows_than_asked(
    make_found: Any, shape: tuple[int, int], count: int
) -> None:
    made = arrows_of(make_found(shape), (), count=count)
    assert 0 < len(made.vectors) <= count
    assert {len(x) for x in made.features.values()} == {len(made.vectors)}


def test_short_arrows_use_the_room_there_is(make_found: Any) -> None:
    made = arrows_of(make_found(move=(0.001, 0)), (), count=400)
    assert 300 < len(made.vectors) <= 400


def test_long_arrows_are_fewer(make_found: Any) -> None:
    shapes = ((80, 100), (80, 100))
    short = arrows_of(make_found(*shapes, (0.001, 0)), (), count=2000)
    long = arrows_of(make_found(*shapes, (0.1, 0)), (), count=2000)
    assert long.step > short.step
    assert len(long.vectors) >= ARROW_LEAST / 2


def test_arrows_point_from_source_to_target(make_found: Any) -> None:
    found = make_found((80, 100), (80, 100), (0.1, -0.05))
    made = arrows_of(found, (4,), count=100)
    vectors = made.vectors
    np.testing.assert_allclose(vectors[:, 0, 0], 4)
    np.testing.assert_allclose(
        vectors[:, 1], np.tile([0, 8, -5], (len(vectors), 1)), atol=1e-4
    )
    flow = found.flow
    rows, cols = vectors[:, 0, 1:].astype(int).T
    np.testing.assert_allclose(vectors[:, 1, 1:], flow[rows, cols], atol=1e-4)
    np.testing.assert_allclose(
        made.features['direction'],
        np.degrees(np.arctan2(8, -5)),
        atol=1e-3,
    )


class TestConfidence:
    """Hiding labels that the match is not sure of."""

    @pytest.fixture
    def half(self, viewer: ViewerModel, make_found: Any) -> Any:
        """Labels everywhere, sure on the right half only."""
        sure = np.repeat([[0.2] * 4 + [0.9] * 4], 8, axis=0)
        found = make_found((80, 100), (80, 100), confidence=sure)
        full = np.full((80, 100), 70_000, np.int32)
        results = Results(viewer)
        (layer,) = results.show(
            [
                product(
                    'labels',
                    full.copy(),
                    full=full,
                    correspondences={(): found},
                )
            ]
        )
        return layer, results.warped_of(layer)

    def test_unsure_labels_hide_and_come_back(self, half: Any) -> None:
        layer, warped = half
        set_threshold(layer, warped, 0.5)
        assert (layer.data[:, :40] == 0).all()
        assert (layer.data[:, 60:] == 70_000).all()
        set_threshold(layer, warped, 0.0)
        assert (layer.data == 70_000).all()

    def test_what_the_user_paints_or_erases_stays(self, half: Any) -> None:
        layer, warped = half
        layer.data_setitem((np.array([5]), np.array([5])), 42)
        layer.data_setitem((np.array([5]), np.array([95])), 0)
        set_threshold(layer, warped, 0.5)
        assert layer.data[5, 5] == 42
        set_threshold(layer, warped, 0.0)
        assert layer.data[5, 5] == 42
        assert layer.data[5, 95] == 0

    def test_it_can_be_undone(self, half: Any) -> None:
        layer, warped = half
        set_threshold(layer, warped, 0.5)
        layer.undo()
        assert (layer.data == 70_000).all()

    def test_large_labels_are_hidden_in_steps(
        self, viewer: ViewerModel, make_found: Any
    ) -> None:
        sure = np.repeat([[0.2] * 4 + [0.9] * 4], 8, axis=0)
        shape = (700, 600)
        found = make_found(shape, shape, confidence=sure)
        full = np.full(shape, 3, np.int32)
        results = Results(viewer)
        (layer,) = results.show(
            [
                product(
                    'labels',
                    full.copy(),
                    full=full,
                    correspondences={(): found},
                )
            ]
        )
        steps = threshold_steps(layer, results.warped_of(layer), 0.5)
        next(steps)
        assert not layer.data[0, 0]
        assert layer.data[-1, 0] == 3
        # What is painted between two steps stays, and is the user's.
        layer.data_setitem((np.array([690]), np.array([0])), 7)
        assert len([*steps]) > 1
        assert layer.data[690, 0] == 7
        assert not layer.data[600:690, :200].any()
        assert is_edited(layer)

    def test_steps_count_as_one_edit_of_ours(self, half: Any) -> None:
        layer, warped = half
        assert [*threshold_steps(layer, warped, 0.5)]
        assert not is_edited(layer)

    def test_new_labels_come_with_the_threshold(
        self, viewer: ViewerModel, make_found: Any
    ) -> None:
        full = np.ones((80, 100), np.uint8)
        found = make_found((80, 100), (80, 100), confidence=0.3)
        (layer,) = show(
            viewer,
            product(
                'labels', full.copy(), full=full, correspondences={(): found}
            ),
            threshold=0.5,
        )
        assert not layer.data.any()

    def test_every_plane_of_a_stack(
        self, viewer: ViewerModel, make_found: Any
    ) -> None:
        grid = grid_of(Image(np.zeros((2, 80, 100))))
        full = np.ones((2, 80, 100), np.uint8)
        planes = {
            (0,): make_found((80, 100), (80, 100), confidence=0.3),
            (1,): make_found((80, 100), (80, 100), confidence=0.8),
        }
        results = Results(viewer)
        (layer,) = results.show(
            [
                product(
                    'labels',
                    full.copy(),
                    full=full,
                    correspondences=planes,
                    grid=grid,
                )
            ]
        )
        set_threshold(layer, results.warped_of(layer), 0.5)
        assert not layer.data[0].any()
        assert layer.data[1].all()


class TestInto:
    """Writing into labels that are there already."""

    def test_it_is_one_step_of_undo(self, viewer: ViewerModel) -> None:
        existing = np.zeros((80, 100), np.int32)
        existing[:10] = 5
        layer = viewer.add_labels(existing.copy())
        data = np.zeros((80, 100), np.uint16)
        data[5:20, :] = 7
        written = add_into(layer, product('labels', data), GRID)
        assert (written.ids, written.pixels) == ((7,), 1500)
        assert (layer.data[:5] == 5).all()
        assert (layer.data[5:20] == 7).all()
        layer.undo()
        np.testing.assert_array_equal(layer.data, existing)

    def test_what_is_unsure_is_left_out(
        self, viewer: ViewerModel, make_found: Any
    ) -> None:
        layer = viewer.add_labels(np.zeros((80, 100), np.uint8))
        sure = np.repeat([[0.2] * 4 + [0.9] * 4], 8, axis=0)
        found = make_found((80, 100), (80, 100), confidence=sure)
        full = np.ones((80, 100), np.uint8)
        carried = product(
            'labels', full, full=full, correspondences={(): found}
        )
        add_into(layer, carried, GRID, 0.5)
        assert not layer.data[:, :40].any()
        assert layer.data[:, 60:].all()

    def test_a_plane_goes_into_its_place_in_a_stack(
        self, viewer: ViewerModel
    ) -> None:
        target = grid_of(
            Image(np.zeros((4, 8, 9)), scale=(2, 1, 1), translate=(5, 1, 2))
        )
        layer = viewer.add_labels(np.zeros((4, 8, 9), np.int32))
        data = np.ones((1, 8, 9), np.uint8)
        add_into(
            layer, product('labels', data, grid=target.single((2,))), target
        )
        assert layer.data[2].all()
        assert layer.data.sum() == 72

    def test_ids_that_do_not_fit_are_refused(
        self, viewer: ViewerModel
    ) -> None:
        layer = viewer.add_labels(np.zeros((80, 100), np.uint8), name='old')
        data = np.full((80, 100), 70_000, np.int32)
        with pytest.raises(InputError, match="'old' holds ids from 0 to 255"):
            add_into(layer, product('labels', data), GRID)
        assert not layer.data.any()

    @pytest.mark.parametrize('kind', [np.int8, np.int64])
    def test_ids_below_those_of_the_layer_are_refused(
        self, viewer: ViewerModel, kind: type
    ) -> None:
        """Not -3 written as 253."""
        layer = viewer.add_labels(np.zeros((80, 100), np.uint8), name='old')
        data = np.full((80, 100), -3, kind)
        with pytest.raises(InputError, match='the mask has -3'):
            add_into(layer, product('labels', data), GRID)
        assert not layer.data.any()

    def test_another_shape_is_refused(self, viewer: ViewerModel) -> None:
        layer = viewer.add_labels(np.zeros((8, 9), np.uint8))
        with pytest.raises(InputError, match='has shape'):
            add_into(
                layer, product('labels', np.ones((80, 100), np.uint8)), GRID
            )

    def test_lazy_labels_are_refused(self, viewer: ViewerModel) -> None:
        da = pytest.importorskip('dask.array')
        layer = viewer.add_labels(da.zeros((80, 100), dtype=np.uint8))
        with pytest.raises(InputError, match='not in memory'):
            add_into(
                layer, product('labels', np.ones((80, 100), np.uint8)), GRID
            )


@pytest.mark.parametrize('kind', ['points', 'shapes'])
@pytest.mark.parametrize('text', ['name', ['one', 'two', 'three']])
def test_texts_are_carried_with_what_they_are_written_on(
    viewer: ViewerModel, kind: str, text: Any
) -> None:
    from napari_samnet.plugin.layers.products import make_mask_product
    from napari_samnet.plugin.model.annotations import capture_mask

    data: Any = np.array([[5.0, 5], [9, 9], [20, 30]])
    if kind == 'shapes':
        data = [at + np.array([[0, 0], [0, 4], [4, 4], [4, 0]]) for at in data]
    layer = getattr(viewer, f'add_{kind}')(
        data, features={'name': ['one', 'two', 'three']}, text=text
    )
    mask = capture_mask(layer, GRID)
    results = Results(viewer)

    def carried(*rows: int) -> Any:
        plane = mask.plane(())
        coords = [data[row] for row in rows]
        kept = np.array(rows, np.intp)
        shown = type(plane)(kept, [np.array(coords)])
        if kind == 'shapes':
            shown = type(plane)(kept, coords)
        made = make_mask_product(
            mask,
            {(): shown},
            GRID,
            key='k',
            name='n',
            owner=None,
            about={},
            correspondences={},
        )
        (result,) = results.show([made])
        return result

    assert carried(0, 2).text.values.tolist() == ['one', 'three']
    assert carried(1).text.values.tolist() == ['two']
