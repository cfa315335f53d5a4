"""Files that napari opens and saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.io.flo import read_flo, write_flo
from napari_samnet.io.formats.ome_zarr import read_label_stack
from napari_samnet.io.formats.registry import format_of, read_label_format
from napari_samnet.plugin.contributions.label_files import (
    write_geojson,
    write_labelme,
)

PLUGIN = 'napari-samnet'


@pytest.fixture
def flow_layer(ready: Any, viewer: ViewerModel) -> Any:
    ready.run(wait=True, timeout=60)
    return viewer.layers['photo → other flow']


@pytest.mark.slow
def test_flow_round_trip(
    viewer: ViewerModel, flow_layer: Any, ready: Any, tmp_path: Path
) -> None:
    path = tmp_path / 'flow.flo'
    assert flow_layer.save(str(path)) == [str(path)]
    np.testing.assert_allclose(read_flo(path), ready.correspondence.flow)
    (opened,) = viewer.open(str(path), plugin=PLUGIN)
    start = opened.data[:, 0].astype(int)
    np.testing.assert_allclose(
        opened.data[:, 1],
        ready.correspondence.flow[start[:, 0], start[:, 1]],
        atol=1e-5,
    )
    again = tmp_path / 'again.flo'
    opened.save(str(again))
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_correspondence_round_trip(
    viewer: ViewerModel, flow_layer: Any, ready: Any, tmp_path: Path
) -> None:
    path = tmp_path / 'found.npz'
    assert flow_layer.save(str(path)) == [str(path)]
    loaded = Correspondence.load(path)
    np.testing.assert_array_equal(loaded.forward, ready.correspondence.forward)
    image, arrows = viewer.open(str(path), plugin=PLUGIN)
    np.testing.assert_array_equal(image.data, ready.correspondence.transferred)
    assert len(arrows.data) > 50
    again = tmp_path / 'again.npz'
    arrows.save(str(again))
    np.testing.assert_array_equal(
        Correspondence.load(again).backward, loaded.backward
    )


def test_unknown_flow_has_no_arrows(
    viewer: ViewerModel, tmp_path: Path
) -> None:
    flow = np.ones((20, 30, 2), np.float32)
    flow[:10] = 1e10
    write_flo(tmp_path / 'holes.flo', flow)
    (layer,) = viewer.open(str(tmp_path / 'holes.flo'), plugin=PLUGIN)
    assert len(layer.data)
    assert layer.data[:, 0, 0].min() >= 10


def test_other_archives_are_left_to_others(tmp_path: Path) -> None:
    from napari_samnet.plugin.contributions.readwrite import (
        correspondence_reader,
    )

    other, broken = tmp_path / 'other.npz', tmp_path / 'broken.npz'
    np.savez(other, a=np.zeros(3))
    broken.write_bytes(b'nothing')
    for path in (other, broken, tmp_path / 'none.npz'):
        assert correspondence_reader(str(path)) is None
    assert correspondence_reader([str(other)]) is None


def test_arrows_that_are_no_flow_cannot_be_saved(
    viewer: ViewerModel, tmp_path: Path
) -> None:
    from napari_samnet.plugin.contributions.readwrite import (
        write_correspondence,
        write_flow,
    )

    layer = viewer.add_vectors(np.zeros((3, 2, 2)))
    data, meta, _ = layer.as_layer_data_tuple()
    for name, write in (
        ('a.flo', write_flow),
        ('a.npz', write_correspondence),
    ):
        with pytest.raises(InputError, match='3 arrows'):
            write(str(tmp_path / name), data, meta)
    assert list(tmp_path.glob('a.*')) == []


def layer_parts(layer: Any) -> tuple[Any, dict[str, Any]]:
    """Data and metadata of a layer, as a writer is given them."""
    data, meta, _ = layer.as_layer_data_tuple()
    return data, meta


class TestLabels:
    """Labels that napari saves for other programs."""

    @pytest.fixture
    def cells(self, viewer: ViewerModel, mask: np.ndarray) -> Any:
        return viewer.add_labels(
            mask % 500,
            name='cells',
            features={'index': [0, 3], 'name': ['', 'nucleus']},
            colormap={3: 'red', None: 'blue', 0: 'transparent'},
        )

    @pytest.mark.parametrize(
        'name',
        ['a.json', 'a.geojson', 'a.zip', 'a.txt', 'a.zarr'],
    )
    def test_of_each_format_are_read_again(
        self, cells: Any, tmp_path: Path, name: str
    ) -> None:
        path = tmp_path / name
        assert cells.save(str(path), plugin=PLUGIN) == [str(path)]
        read = read_label_format(path, cells.data.shape, image='cells')
        if name == 'a.txt':
            # Classes of YOLO have no id but their order.
            np.testing.assert_array_equal(read.labels != 0, cells.data != 0)
            return
        np.testing.assert_array_equal(read.labels, cells.data)
        assert read.names
        assert read.names[3] == 'nucleus'
        assert read.colors
        assert read.colors[3] == (255, 0, 0)

    def test_labelme_can_be_chosen(self, cells: Any, tmp_path: Path) -> None:
        path = str(tmp_path / 'a.json')
        assert write_labelme(path, *layer_parts(cells)) == [path]
        assert format_of(Path(path)) == 'labelme'

    def test_planes_go_to_zarr_alone(
        self,
        viewer: ViewerModel,
        mask: np.ndarray,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        stack = np.stack([mask, mask[::-1], 0 * mask])
        layer = viewer.add_labels(
            stack, name='stack', scale=(2, 0.5, 0.5), units='um'
        )
        path = tmp_path / 'a.zarr'
        layer.save(str(path), plugin=PLUGIN)
        again = read_label_stack(path, 'labels', stack.shape)
        assert again is not None
        np.testing.assert_array_equal(again.labels, stack)
        reader = pytest.importorskip('ome_zarr.reader')
        location = pytest.importorskip('ome_zarr.io')
        (node,) = list(reader.Reader(location.parse_url(path))())[:1]
        assert node.metadata['coordinateTransformations'][0][0]['scale'] == [
            2,
            0.5,
            0.5,
        ]
        # napari itself only says that there is no writer.
        said: list[str] = []
        monkeypatch.setattr(
            'napari.utils.notifications.show_error', said.append
        )
        with pytest.raises(InputError, match=r'3 planes.*save it as \.zarr'):
            write_geojson(str(tmp_path / 'a.geojson'), *layer_parts(layer))
        assert 'has 3 planes' in said[-1]
