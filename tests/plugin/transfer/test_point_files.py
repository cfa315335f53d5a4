"""Tables of points are dropped like masks, as other programs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Points
from qtpy.QtCore import QMimeData, QUrl

from napari_samnet.errors import InputError
from napari_samnet.plugin.contributions.point_files import write_points

WAIT = 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures('shared_matches'),
]


@pytest.fixture
def give(ready: Any, drop: Any) -> Any:
    def do(*paths: Path) -> str:
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        assert drop(ready.panel.drop, mime)
        ready.wait(WAIT)
        return str(ready.panel.drop.reason)

    return do


def table(path: Path, text: str, coding: str = 'utf-8') -> Path:
    path.write_bytes(text.encode(coding))
    return path


@pytest.mark.binding
@pytest.mark.parametrize(
    ('text', 'coding'),
    [
        ('index,axis-0,axis-1,name,n\n0,30.5,40,é,1\n1,50,60,b,2\n', 'utf-8'),
        ('Row;Column;name;n\r\n30,5;40;é;1\r\n50;60;b;2\r\n', 'utf-8-sig'),
        ('x\ty\tname\tn\n40\t30.5\té\t1\n60\t50\tb\t2\n', 'utf-16'),
    ],
)
def test_points_are_carried(
    ready: Any, give: Any, tmp_path: Path, text: str, coding: str
) -> None:
    layers = ready.viewer.layers
    layers['photo'].scale = layers['mask'].scale = (2, 2)
    dots = table(tmp_path / 'dots.csv', text, coding)
    assert give(dots) == ''
    np.testing.assert_array_equal(layers['dots'].data, [[30.5, 40], [50, 60]])
    np.testing.assert_array_equal(layers['dots'].scale, (2, 2))
    carried = layers['other ← dots']
    assert isinstance(carried, Points)
    assert list(carried.features['name']) == ['é', 'b']
    assert list(carried.features['n']) == [1, 2]
    # The labels that were chosen stay so.
    assert ready.labels is layers['mask']
    # The same file again is not opened twice; moved points stay beside it.
    names = [layer.name for layer in layers]
    assert give(dots) == ''
    assert [layer.name for layer in layers] == names
    moved = layers['dots'].data + 1
    layers['dots'].data = moved
    assert give(dots) == ''
    np.testing.assert_array_equal(layers['dots'].data, moved)
    assert len(layers) == len(names) + 2


def test_among_masks_and_what_cannot_be_read(
    ready: Any, give: Any, tmp_path: Path, mask: np.ndarray
) -> None:
    np.save(tmp_path / 'cells.npy', mask)
    bad = table(tmp_path / 'bad.csv', 'row,column\n1,two\n')
    shapes = table(
        tmp_path / 'box.csv',
        'index,shape-type,vertex-index,axis-0,axis-1\n0,polygon,0,1,2\n',
    )
    none = table(tmp_path / 'none.csv', 'row,column\n')
    dots = table(tmp_path / 'dots.csv', 'row,column\n30,40\n')
    said = give(bad, tmp_path / 'cells.npy', shapes, dots, none)
    assert "bad.csv must be finite numbers; line 2 has 'two'" in said
    assert 'box.csv holds shapes: open it with File › Open' in said
    assert str(tmp_path) not in said
    layers = ready.viewer.layers
    assert len(layers['other ← dots'].data) == 1
    assert (layers['other ← cells'].data == 70_000).any()
    assert ready.labels is layers['cells']


HEADS = (
    'scorer,ann,ann,ann,ann\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n'
)


@pytest.fixture
def stack(viewer: Any, photos: Any, make_widget: Any) -> Any:
    """Six frames in which everything moves to the right, and nothing else."""
    frames = np.stack([np.roll(photos[0], 2 * k, 1) for k in range(6)])
    viewer.add_image(
        frames, name='film', rgb=True, scale=(1, 2, 2), translate=(0, 5, 5)
    )
    return make_widget(viewer)


def drop_on(widget: Any, drop: Any, *paths: Path) -> str:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    assert drop(widget.panel.drop, mime)
    widget.wait(WAIT)
    return str(widget.panel.drop.reason)


@pytest.mark.binding
def test_a_table_of_deeplabcut_leads_its_film(
    stack: Any, drop: Any, tmp_path: Path
) -> None:
    """Frames that were marked lead the others, from the nearer one."""
    text = f'{HEADS}img0.png,45,35,20,30\nimg4.png,53,35,,\n'
    dots = table(tmp_path / 'CollectedData.csv', text)
    assert drop_on(stack, drop, dots) == ''
    layers = stack.viewer.layers
    given = layers['CollectedData']
    np.testing.assert_array_equal(
        given.data, [[0, 35, 45], [0, 30, 20], [4, 35, 53]]
    )
    np.testing.assert_array_equal(given.translate, (0, 5, 5))
    carried = layers['film ← CollectedData propagated']
    assert 'Done, 6 of 6 planes' in stack.message
    frames = carried.data[:, 0]
    names = list(carried.features['name'])
    assert {int(place) for place in frames} == {*range(6)}
    # From frame 3 on the nearer one is 4, on which no tail was marked.
    assert [n for n, at in zip(names, frames, strict=True) if at >= 3] == [
        'nose'
    ] * 3
    for row in given.data:
        assert (carried.data == row).all(axis=1).any()
    # Saved by napari and dropped again, everything is marked already.
    assert drop_on(stack, drop, dots) == ''
    assert [layer.name for layer in layers].count('CollectedData') == 1


def test_a_result_goes_back_to_deeplabcut(
    stack: Any, drop: Any, tmp_path: Path
) -> None:
    """Carried, corrected and saved, all frames are in one table."""
    text = f'{HEADS}img0.png,45,35,20,30\n'
    assert drop_on(stack, drop, table(tmp_path / 'dlc.csv', text)) == ''
    layers = stack.viewer.layers
    carried = layers['film ← dlc propagated']
    moved = carried.data.copy()
    moved[moved[:, 0] == 3, 1:] += 1
    carried.data = moved
    file = tmp_path / 'back.csv'
    assert carried.save(str(file), plugin='napari-samnet') == [str(file)]
    lines = file.read_text().splitlines()
    assert lines[1] == 'bodyparts,nose,nose,tail,tail'
    assert lines[3] == '0,45,35,20,30'
    assert len(lines) == 9
    assert drop_on(stack, drop, file) == ''
    again = layers['back']
    order = [
        np.lexsort((x.data[:, 2], x.data[:, 0])) for x in (again, carried)
    ]
    np.testing.assert_allclose(again.data[order[0]], moved[order[1]])


def test_what_deeplabcut_cannot_hold_is_said(
    viewer: Any, tmp_path: Path
) -> None:
    plain = viewer.add_points([[0, 3, 4]], name='plain')
    twice = viewer.add_points(
        [[0, 3, 4], [0, 5, 6]], name='twice', features={'name': ['a', 'a']}
    )
    flat = viewer.add_points([[3, 4]], name='flat', features={'name': ['a']})
    for layer, said in (
        (plain, 'has no column "name"'),
        (twice, "one 'a' in each frame, frame 0 has two"),
        (flat, 'needs frame, row and column'),
    ):
        with pytest.raises(InputError, match=said):
            write_points(
                str(tmp_path / 'a.csv'), *layer.as_layer_data_tuple()[:2]
            )
    assert not [*tmp_path.iterdir()]


def test_frames_taken_out_of_a_film(
    stack: Any, drop: Any, tmp_path: Path
) -> None:
    """Images of `labeled-data` are called after the film's frames."""
    lines = [f'img{n}.png,45,35,,' for n in (12, 57, 58, 101, 140, 200)]
    dots = table(tmp_path / 'dlc.csv', f'{HEADS}{chr(10).join(lines)}\n')
    assert drop_on(stack, drop, dots) == ''
    data = stack.viewer.layers['dlc'].data
    np.testing.assert_array_equal(data[:, 0], range(6))
    assert "Nothing to carry: 'dlc' is on all planes" in stack.message


def test_what_the_stack_does_not_have_is_said(
    stack: Any, drop: Any, tmp_path: Path
) -> None:
    far = table(tmp_path / 'far.csv', f'{HEADS}img90.png,45,35,,\n')
    two = table(
        tmp_path / 'two.csv', 'axis-0,axis-1,axis-2,axis-3\n0,1,30,40\n'
    )
    said = drop_on(stack, drop, far, two)
    assert 'lie on planes that the stack of 6 does not have (90)' in said
    assert 'have 2 numbers for their plane, and the stack 1 axes' in said
    assert len(stack.viewer.layers) == 1
    some = table(
        tmp_path / 'some.csv', f'{HEADS}img2.png,45,35,,\nimg90.png,1,2,,\n'
    )
    assert drop_on(stack, drop, some) == ''
    assert len(stack.viewer.layers['some'].data) == 1


def test_points_without_a_plane_are_on_the_one_shown(
    stack: Any, drop: Any, tmp_path: Path
) -> None:
    stack.viewer.dims.set_current_step(0, 5)
    dots = table(tmp_path / 'dots.csv', 'row,column\n35,55\n')
    assert drop_on(stack, drop, dots) == ''
    data = stack.viewer.layers['dots'].data
    np.testing.assert_array_equal(data, [[5, 35, 55]])
    carried = stack.viewer.layers['film ← dots propagated']
    assert len(carried.data) == 6


def test_points_of_a_film_are_none_of_one_picture(
    ready: Any, give: Any, tmp_path: Path
) -> None:
    text = f'{HEADS}img0.png,45,35,,\nimg4.png,53,35,,\n'
    said = give(table(tmp_path / 'dlc.csv', text))
    assert 'lie on several planes of a stack' in said
    assert "'photo' is one picture" in said


def test_a_script_carries_them_too(ready: Any, tmp_path: Path) -> None:
    dots = table(tmp_path / 'dots.csv', 'row,column\n30,40\n500,2\n')
    ready.transfer_file(str(dots), wait=True, timeout=WAIT)
    assert len(ready.viewer.layers['other ← dots'].data) == 2
