"""Labels to and from other programs, by the libraries that define them."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw
from scipy import ndimage

from napari_samnet.errors import InputError
from napari_samnet.io.annotated import read_annotated
from napari_samnet.io.formats.names import FORMATS
from napari_samnet.io.formats.registry import (
    format_of,
    read_label_format,
    write_label_format,
)
from napari_samnet.io.pixel_size import read_pixel_size

SHAPE = (40, 52)
NAMES = {3: 'nucleus', 7: 'cell'}
COLORS = {3: (230, 25, 75), 7: (0, 130, 200), 500: (60, 180, 75)}


def drawn() -> np.ndarray:
    """Touching, torn, holed, thin and single pixels; ids with gaps."""
    labels = np.zeros(SHAPE, np.int32)
    labels[3:20, 4:22] = 3
    labels[8:12, 8:14] = 0
    labels[9, 9] = 7
    labels[20:33, 4:15] = 7
    labels[25:38, 30:31] = 7
    down, across = np.mgrid[: SHAPE[0], : SHAPE[1]]
    labels[(down - 12) ** 2 + (across - 38) ** 2 < 70] = 500
    return labels


LABELS = drawn()


def without_holes() -> np.ndarray:
    labels = LABELS.copy()
    labels[8:12, 8:14] = 3
    return labels


SOLID = without_holes()


@pytest.mark.parametrize('kind', FORMATS)
def test_ids_names_and_colors_survive(kind: str, tmp_path: Path) -> None:
    labels = SOLID if kind == 'yolo' else LABELS
    path = tmp_path / f'labels{FORMATS[kind]}'
    write_label_format(
        path, labels, kind, image='a.png', names=NAMES, colors=COLORS
    )
    assert format_of(path) == kind
    read = read_label_format(path, SHAPE, image='a.png')
    if kind == 'yolo':
        # Named classes have no id but their order.
        ids = {1: 3, 2: 7, 500: 500}
        made = np.zeros(SHAPE, int)
        for given, number in ids.items():
            made[read.labels == given] = number
        np.testing.assert_array_equal(made, labels)
        assert read.names == {1: 'nucleus', 2: 'cell'}
        return
    np.testing.assert_array_equal(read.labels, labels)
    names = dict(read.names or {})
    if kind in ('coco', 'labelme'):
        assert names.pop(500) == 'label 500'
    assert names == NAMES
    if kind != 'labelme':
        assert read.colors == COLORS


@pytest.mark.parametrize('kind', ['coco', 'labelme', 'yolo', 'geojson', 'roi'])
def test_what_a_format_cannot_hold_is_said(kind: str, tmp_path: Path) -> None:
    notices = write_label_format(
        tmp_path / 'a', LABELS, kind, image='a.png', colors=COLORS
    )
    told = ' '.join(notices)
    assert ('holes' in told) == (kind in ('coco', 'labelme', 'yolo'))
    assert ('colors' in told) == (kind in ('labelme', 'yolo'))
    assert ('written 3 as 0' in told) == (kind == 'yolo')


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'one of coco, .* got .voc.'):
        write_label_format(tmp_path / 'a', LABELS, 'voc', image='a')


class TestCoco:
    @pytest.mark.filterwarnings('ignore:__array__:DeprecationWarning')
    def test_pycocotools_reads_ours(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        coco = pytest.importorskip('pycocotools.coco')
        path = tmp_path / 'a.json'
        write_label_format(path, LABELS, 'coco', image='a.png', names=NAMES)
        table = coco.COCO(str(path))
        capsys.readouterr()
        assert table.getAnnIds() == [3, 7, 500]
        for entry in table.loadAnns(table.getAnnIds()):
            mask = table.annToMask(entry).astype(bool)
            expected = entry['id'] == LABELS
            np.testing.assert_array_equal(mask, expected)
            assert entry['area'] == expected.sum()
        names = {c['name'] for c in table.loadCats(table.getCatIds())}
        assert names == {'nucleus', 'cell', 'label 500'}

    def test_masks_of_pycocotools_are_read(self, tmp_path: Path) -> None:
        coder = pytest.importorskip('pycocotools.mask')
        packed = [
            coder.encode(np.asfortranarray((number == LABELS).astype('u1')))
            for number in (3, 7, 500)
        ]
        runs = np.flatnonzero(
            np.diff((LABELS == 7).ravel(order='F').astype(int))
        )
        edges = [0, *(runs + 1).tolist(), LABELS.size]
        annotations = [
            {
                'id': number,
                'image_id': 9,
                'category_id': 1,
                'segmentation': {
                    'size': list(SHAPE),
                    'counts': mask['counts'].decode(),
                },
            }
            for number, mask in zip((3, 7, 500), packed, strict=True)
        ]
        annotations[1]['segmentation']['counts'] = np.diff(edges).tolist()
        annotations.append({'id': 99, 'image_id': 8, 'bbox': [0, 0, 9, 9]})
        path = tmp_path / 'a.json'
        path.write_text(
            json.dumps(
                {
                    'images': [
                        {'id': 9, 'file_name': 'folder/a.png'},
                        {'id': 8, 'file_name': 'b.png'},
                    ],
                    'annotations': annotations,
                    'categories': [{'id': 1, 'name': 'thing'}],
                }
            )
        )
        read = read_label_format(path, SHAPE, image='a.png')
        np.testing.assert_array_equal(read.labels, LABELS)
        assert read.names == dict.fromkeys((3, 7, 500), 'thing')
        other = read_label_format(path, SHAPE, image='b.png')
        assert (other.labels == 99).sum() == 81
        with pytest.raises(InputError, match=r'none of them named c\.png'):
            read_label_format(path, SHAPE, image='c.png')

    def test_every_annotation_keeps_an_id_of_its_own(
        self, tmp_path: Path
    ) -> None:
        """Some programs count from 0."""
        path = tmp_path / 'a.json'
        entries = [
            {'id': number, 'image_id': 1, 'bbox': [9 * place, 0, 4, 4]}
            for place, number in enumerate([0, 1, 2, 2])
        ]
        images = [{'id': 1, 'file_name': 'x\\a.png'}, {'id': 2}]
        path.write_text(json.dumps({'annotations': entries, 'images': images}))
        read = read_label_format(path, SHAPE, image='a.tif')
        assert read.labels[0, ::9][:4].tolist() == [3, 1, 2, 4]
        assert '2 objects without an id that is theirs' in read.notices[0]
        with pytest.raises(InputError, match='none of them named like the'):
            read_label_format(path, SHAPE)

    @pytest.mark.parametrize(
        'segmentation',
        [
            {'size': [9, 9], 'counts': [81]},
            {'size': [40, 52], 'counts': [3, -3]},
            {'size': [40, 52], 'counts': 'nonsense~~~~'},
            [[1, 2, 3]],
            [['a', 'b']],
            None,
        ],
    )
    def test_damage_is_refused(
        self, segmentation: Any, tmp_path: Path
    ) -> None:
        path = tmp_path / 'a.json'
        entry = {'id': 5, 'segmentation': segmentation}
        path.write_text(json.dumps({'annotations': [entry]}))
        with pytest.raises(InputError, match=r'annotation 5 of a\.json'):
            read_label_format(path, SHAPE)

    def test_of_another_size(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.json'
        write_label_format(path, LABELS, 'coco', image='a.png')
        with pytest.raises(InputError, match='40 rows and 52 columns'):
            read_label_format(path, (52, 40), image='a.png')


class TestLabelme:
    def test_shapes_as_the_program_writes_them(self, tmp_path: Path) -> None:
        small = np.ones((4, 6), np.uint8)
        small[1, 1] = 0
        content = io.BytesIO()
        Image.fromarray(small).save(content, 'PNG')
        shapes = [
            {'label': 'cat', 'points': [[2, 3], [9, 3], [9, 8], [2, 8]]},
            {
                'label': 'dog',
                'points': [[20, 10], [30, 20]],
                'shape_type': 'rectangle',
            },
            {
                'label': 'sun',
                'points': [[40, 20], [40, 26]],
                'shape_type': 'circle',
            },
            {
                'label': 'fish',
                'points': [[5, 20], [10, 23]],
                'shape_type': 'mask',
                'mask': base64.b64encode(content.getvalue()).decode(),
            },
            {'label': 'eye', 'points': [[4, 4]], 'shape_type': 'point'},
        ]
        path = tmp_path / 'a.json'
        path.write_text(
            json.dumps(
                {
                    'version': '5.5.0',
                    'flags': {},
                    'shapes': shapes,
                    'imagePath': 'a.jpg',
                    'imageData': None,
                    'imageHeight': SHAPE[0],
                    'imageWidth': SHAPE[1],
                }
            )
        )
        read = read_label_format(path, SHAPE)
        assert read.names == {1: 'cat', 2: 'dog', 3: 'sun', 4: 'fish'}
        # As many as labelme's own masks have, the line around included.
        assert (read.labels == 1).sum() == 8 * 6
        assert (read.labels == 2).sum() == 11 * 11
        assert abs((read.labels == 3).sum() - np.pi * 6.5**2) < 8
        assert '1 point or line that covers' in read.notices[0]
        np.testing.assert_array_equal(read.labels[20:24, 5:11] == 4, small)

    def test_areas_are_those_of_labelme_6(self, tmp_path: Path) -> None:
        """Counted by its own shape_to_mask, in a file that it wrote."""
        shapes = [
            {'shape_type': kind, 'label': kind, 'points': points, 'mask': None}
            for kind, points in (
                ('polygon', [[5.5, 3.2], [20.1, 8.9], [12.0, 25.3]]),
                ('rectangle', [[45.5, 18.2], [30, 5]]),
                ('circle', [[30, 40], [36, 44]]),
                (
                    'oriented_rectangle',
                    [[50, 40], [60, 45], [57, 51], [47, 46]],
                ),
                ('point', [[3, 50]]),
                ('line', [[5, 50], [20, 55]]),
                ('linestrip', [[50, 55], [60, 57], [70, 52]]),
            )
        ]
        path = tmp_path / 'a.json'
        about = {'imageHeight': 60, 'imageWidth': 80, 'imageData': None}
        path.write_text(json.dumps({'shapes': shapes, **about}))
        read = read_label_format(path, (60, 80))
        counts = np.bincount(read.labels.ravel())[1:]
        assert counts.tolist() == [170, 224, 200, 84]
        assert '3 points or lines' in read.notices[0]

    def test_groups_are_one_object(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.json'
        write_label_format(path, SOLID, 'labelme', image='a.png')
        content = json.loads(path.read_text())
        # Torn objects have several outlines with one number.
        assert [s['group_id'] for s in content['shapes']].count(7) == 2
        assert content['imagePath'] == 'a.png'

    def test_labelme_draws_ours(self, tmp_path: Path) -> None:
        """As its own ``shapes_to_label`` does, with Pillow."""
        rng = np.random.default_rng(0)
        torn = ndimage.label(rng.random(SHAPE) > 0.6)[0] + 1
        for labels in (LABELS, torn * (torn > 1)):
            path = tmp_path / 'a.json'
            write_label_format(path, labels, 'labelme', image='a.png')
            made = np.zeros(SHAPE, int)
            for entry in json.loads(path.read_text())['shapes']:
                mask = np.asarray(drawn_by_labelme(entry))
                made[mask] = entry['group_id']
            np.testing.assert_array_equal(made, labels)

    def test_an_instance_is_a_label_with_a_group(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.json'
        about = [('cat', 1), ('dog', 1), ('cat', None), ('cat', 5), ('cat', 1)]
        shapes = [
            {
                'label': name,
                'group_id': group,
                'points': [[9 * k, 2], [9 * k + 3, 5]],
                'shape_type': 'rectangle',
            }
            for k, (name, group) in enumerate(about)
        ]
        path.write_text(json.dumps({'shapes': shapes}))
        read = read_label_format(path, SHAPE)
        assert read.labels[3, ::9][:5].tolist() == [1, 2, 3, 5, 1]
        assert read.names == {1: 'cat', 2: 'dog', 3: 'cat', 5: 'cat'}


def drawn_by_labelme(entry: dict[str, Any]) -> np.ndarray:
    """Pixels of one shape as labelme.utils.shape draws them."""
    mask = np.zeros(SHAPE, np.uint8)
    if entry['shape_type'] == 'mask':
        content = io.BytesIO(base64.b64decode(entry['mask']))
        (x1, y1), (x2, y2) = np.asarray(entry['points']).astype(int)
        mask[y1 : y2 + 1, x1 : x2 + 1] = np.asarray(Image.open(content))
        return mask.astype(bool)
    picture = Image.fromarray(mask)
    corners = [tuple(point) for point in entry['points']]
    ImageDraw.Draw(picture).polygon(corners, outline=1, fill=1)
    return np.asarray(picture, bool)


class TestYolo:
    def test_what_lies_inside_another_object_is_seen(
        self, tmp_path: Path
    ) -> None:
        """There are no holes: of the two, the outer one fills its own."""
        labels = np.full((40, 60), 0, np.uint8)
        labels[5:35, 5:50] = 7
        labels[15:25, 20:40] = 3
        path = tmp_path / 'nested.txt'
        write_label_format(path, labels, 'yolo', image='a.png')
        read = read_label_format(path, labels.shape)
        np.testing.assert_array_equal(read.labels, labels)

    def test_shares_of_the_sides(self, tmp_path: Path) -> None:
        (tmp_path / 'a.txt').write_text(
            '0 0.25 0.25 0.5 0.25 0.5 0.5 0.25 0.5\n2 0.75 0.75 0.25 0.5\n'
        )
        (tmp_path / 'classes.txt').write_text('cat\ndog\nbird\n')
        read = read_label_format(tmp_path / 'a.txt', (40, 80))
        assert (read.labels == 1).sum() == 200
        assert (read.labels[20:, 50:70] == 3).all()
        assert read.names == {1: 'cat', 3: 'bird'}
        assert '1 boxes' in read.notices[1]

    def test_classes_of_other_files_keep_their_numbers(
        self, tmp_path: Path
    ) -> None:
        table = tmp_path / 'classes.txt'
        table.write_text('dog\ncell\ncell\n')
        for name in ('a.txt', 'b.txt'):
            write_label_format(
                tmp_path / name, SOLID, 'yolo', image='a', names=NAMES
            )
        assert table.read_text() == 'dog\ncell\ncell\nnucleus\nlabel 500\n'
        lines = (tmp_path / 'b.txt').read_text().splitlines()
        assert {line.split()[0] for line in lines} == {'1', '3', '4'}
        table.write_bytes(b'\xff\xfe')
        with pytest.raises(InputError, match='classes cannot be added'):
            write_label_format(tmp_path / 'c.txt', SOLID, 'yolo', image='a')
        assert table.read_bytes() == b'\xff\xfe'
        assert not (tmp_path / 'c.txt').exists()

    @pytest.mark.parametrize(
        'line', ['0 .1 .2 .3 .4 .5', '0 .1 .2 x .4 .5 .6']
    )
    def test_damage_is_refused(self, line: str, tmp_path: Path) -> None:
        path = tmp_path / 'a.txt'
        path.write_text(f'0 .1 .2 .3 .4\n{line}\n')
        with pytest.raises(InputError, match='line 2'):
            read_label_format(path, SHAPE)


class TestGeoJson:
    def test_geojson_and_shapely_read_ours(self, tmp_path: Path) -> None:
        geojson = pytest.importorskip('geojson')
        shapely = pytest.importorskip('shapely')
        path = tmp_path / 'a.geojson'
        write_label_format(
            path, LABELS, 'geojson', image='a.png', names=NAMES, colors=COLORS
        )
        collection = geojson.loads(path.read_text())
        assert collection.is_valid
        for feature in collection['features']:
            number = feature['properties']['measurements']['label id']
            shape = shapely.geometry.shape(feature['geometry'])
            assert shape.is_valid
            assert shape.area == (number == LABELS).sum()

    def as_qupath(self, path: Path, factor: float, shift: float = 0) -> None:
        """As QuPath exports: no ids, classes, holes."""
        shapely = pytest.importorskip('shapely')
        outer = shapely.box(4, 3, 22, 20) - shapely.box(8, 8, 14, 12)
        moved = shapely.affinity.affine_transform(
            outer, [factor, 0, 0, factor, shift, shift]
        )
        feature = {
            'type': 'Feature',
            'id': '5f5d1b0c-5dbd-4ea5-9f0e-8c7e5c9a8d7b',
            'geometry': shapely.geometry.mapping(moved),
            'properties': {
                'objectType': 'annotation',
                'classification': {'name': 'Tumor', 'color': [200, 0, 0]},
                'isLocked': False,
            },
        }
        path.write_text(
            json.dumps({'type': 'FeatureCollection', 'features': [feature]})
        )

    def test_annotations_of_qupath(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.geojson'
        self.as_qupath(path, 1)
        read = read_label_format(path, SHAPE)
        np.testing.assert_array_equal(read.labels == 1, LABELS_OF_BOX)
        assert read.names == {1: 'Tumor'}
        assert read.colors == {1: (200, 0, 0)}
        assert read.notices == ()

    def test_micrometers_are_told_apart(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.geojson'
        self.as_qupath(path, 5.0)
        read = read_label_format(path, SHAPE, pixel_size=5.0)
        np.testing.assert_array_equal(read.labels == 1, LABELS_OF_BOX)
        assert 'micrometers' in read.notices[0]
        # Both fit: pixels, with a notice; unless it is said.
        self.as_qupath(path, 0.5)
        read = read_label_format(path, SHAPE, pixel_size=0.5)
        assert 'taken as pixels' in read.notices[0]
        read = read_label_format(path, SHAPE, pixel_size=0.5, unit='um')
        np.testing.assert_array_equal(read.labels == 1, LABELS_OF_BOX)
        with pytest.raises(InputError, match='--pixel-size'):
            read_label_format(path, SHAPE, unit='um')
        self.as_qupath(path, 1, shift=900)
        with pytest.raises(InputError, match='outside the image'):
            read_label_format(path, SHAPE)

    def test_what_is_drawn_later_leaves_the_ids(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.geojson'
        write_label_format(path, LABELS, 'geojson', image='a.png')
        content = json.loads(path.read_text())
        self.as_qupath(path, 1)
        new = json.loads(path.read_text())['features']
        content['features'] = [*content['features'][:2], *new]
        path.write_text(json.dumps(content))
        read = read_label_format(path, SHAPE)
        np.testing.assert_array_equal(read.labels == 7, LABELS == 7)
        assert (read.labels == 1).sum() > 0
        assert '1 object without an id' in read.notices[0]

    @pytest.mark.parametrize(
        'geometry',
        [
            {'type': 'Polygon'},
            {'type': 'Polygon', 'coordinates': [[['a', 'b']]]},
            {'type': 'Polygon', 'coordinates': 7},
        ],
    )
    def test_damage_is_refused(self, geometry: Any, tmp_path: Path) -> None:
        path = tmp_path / 'a.geojson'
        feature = {'type': 'Feature', 'geometry': geometry}
        path.write_text(json.dumps([feature]))
        with pytest.raises(InputError, match='feature 1'):
            read_label_format(path, SHAPE)


LABELS_OF_BOX = np.zeros(SHAPE, bool)
LABELS_OF_BOX[3:20, 4:22] = True
LABELS_OF_BOX[8:12, 8:14] = False


class TestImageJ:
    def test_roifile_reads_ours(self, tmp_path: Path) -> None:
        roifile = pytest.importorskip('roifile')
        path = tmp_path / 'a.zip'
        write_label_format(path, LABELS, 'roi', image='a', names=NAMES)
        rois = roifile.roiread(path)
        assert [roi.name for roi in rois] == [
            'nucleus (label 3)',
            'cell (label 7)',
            'label 500',
        ]
        # Of a composite region, the outer outline and its hole.
        assert len(rois[0].coordinates(multi=True)) == 2

    def test_regions_of_imagej_are_read(self, tmp_path: Path) -> None:
        roifile = pytest.importorskip('roifile')
        box = roifile.ImagejRoi()
        box.roitype = roifile.ROI_TYPE.RECT
        box.left, box.top, box.right, box.bottom = 4, 3, 22, 20
        box.name = '0012-0013'
        drawn_by_hand = roifile.ImagejRoi.frompoints(
            np.array([[30.2, 5.2], [45.2, 5.2], [45.2, 15.2]])
        )
        drawn_by_hand.name = 'hand'
        path = tmp_path / 'RoiSet.zip'
        roifile.roiwrite(path, [box, drawn_by_hand])
        read = read_label_format(path, SHAPE)
        assert (read.labels == 1).sum() == 17 * 18
        assert abs((read.labels == 2).sum() - 75) < 10
        assert read.names == {1: '0012-0013', 2: 'hand'}
        box.tofile(tmp_path / 'one.roi')
        one = read_label_format(tmp_path / 'one.roi', SHAPE)
        assert (one.labels == 1).sum() == 17 * 18

    def test_what_is_drawn_later_leaves_the_ids(self, tmp_path: Path) -> None:
        roifile = pytest.importorskip('roifile')
        path = tmp_path / 'a.zip'
        write_label_format(path, LABELS, 'roi', image='a')
        line = roifile.ImagejRoi.frompoints([[1, 1], [3, 1], [3, 3], [1, 3]])
        line.name = '0002-0002'
        roifile.roiwrite(path, [line], mode='a')
        read = read_label_format(path, SHAPE)
        assert set(np.unique(read.labels)) == {0, 1, 3, 7, 500}
        assert read.names == {1: '0002-0002'}

    def test_damage_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.roi'
        path.write_bytes(b'Iout' + bytes(20))
        with pytest.raises(InputError, match='damaged region'):
            read_label_format(path, SHAPE)


class TestOmeZarr:
    def test_ome_zarr_reads_ours(self, tmp_path: Path) -> None:
        reader = pytest.importorskip('ome_zarr.reader')
        location = pytest.importorskip('ome_zarr.io')
        path = tmp_path / 'a.zarr'
        write_label_format(path, LABELS, 'ome-zarr', image='a', colors=COLORS)
        nodes = list(reader.Reader(location.parse_url(path))())
        np.testing.assert_array_equal(nodes[0].data[0], LABELS)

    def test_files_of_ome_zarr_are_read(self, tmp_path: Path) -> None:
        writer = pytest.importorskip('ome_zarr.writer')
        zarr = pytest.importorskip('zarr')
        path = tmp_path / 'b.zarr'
        group = zarr.open_group(path, mode='w')
        image = np.zeros((2, *SHAPE), np.uint8)
        writer.write_image(image, group, axes='zyx', scaler=None)
        stack = np.stack([LABELS, LABELS[::-1]])
        writer.write_labels(
            stack, group, name='cells', axes='zyx', scaler=None
        )
        with pytest.raises(InputError, match=r'2 planes .*--page'):
            read_label_format(path, SHAPE)
        for page in range(2):
            read = read_label_format(path, SHAPE, page=page)
            np.testing.assert_array_equal(read.labels, stack[page])

    def test_nothing_but_labels_is_written_over(self, tmp_path: Path) -> None:
        writer = pytest.importorskip('ome_zarr.writer')
        zarr = pytest.importorskip('zarr')
        path = tmp_path / 'image.zarr'
        image = np.ones(SHAPE, np.uint8)
        writer.write_image(
            image, zarr.open_group(path, mode='w'), axes='yx', scaler=None
        )
        folder, file = tmp_path / 'folder.zarr', tmp_path / 'file.zarr'
        folder.mkdir()
        (folder / 'notes.txt').write_text('mine')
        file.write_text('mine')
        for each in (path, folder, file):
            with pytest.raises(InputError, match='is more than labels'):
                write_label_format(each, LABELS, 'ome-zarr', image='a')
        (first, *_) = zarr.open_group(path, mode='r').arrays()
        assert (first[1][:] == 1).all()
        assert (folder / 'notes.txt').exists()
        # Labels of before are replaced.
        labels = tmp_path / 'labels.zarr'
        for made in (LABELS, LABELS[::-1]):
            write_label_format(labels, made, 'ome-zarr', image='a')
            read = read_label_format(labels, SHAPE)
            np.testing.assert_array_equal(read.labels, made)

    def test_other_folders_are_refused(self, tmp_path: Path) -> None:
        zarr = pytest.importorskip('zarr')
        zarr.open_group(tmp_path / 'a.zarr', mode='w')
        with pytest.raises(InputError, match='no label image'):
            read_label_format(tmp_path / 'a.zarr', SHAPE)


class TestWithItsImage:
    @pytest.mark.parametrize('kind', FORMATS)
    def test_is_one_reader(self, kind: str, tmp_path: Path) -> None:
        Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / 'a.png')
        path = tmp_path / f'b{FORMATS[kind]}'
        write_label_format(path, SOLID, kind, image='a.png')
        found = read_annotated(tmp_path / 'a.png', labels=path)
        assert found.labels is not None
        np.testing.assert_array_equal(found.labels.labels, SOLID)

    def test_overlaps_and_what_is_lost_are_said(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.json'
        squares = [[2, 2, 9, 2, 9, 9, 2, 9], [5, 5, 12, 5, 12, 12, 5, 12]]
        tiny = [3.1, 3.1, 3.2, 3.1, 3.2, 3.2]
        path.write_text(
            json.dumps(
                {
                    'annotations': [
                        {'id': k, 'segmentation': [ring]}
                        for k, ring in enumerate([*squares, tiny], start=1)
                    ]
                }
            )
        )
        notices = read_label_format(path, SHAPE).notices
        assert '16 pixels' in notices[0]
        assert '3' in notices[1]

    @pytest.mark.parametrize('text', ['{"a": 1}', '[1, 2]', '{', '[' * 99_999])
    def test_other_json_is_refused(self, text: str, tmp_path: Path) -> None:
        Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / 'a.png')
        (tmp_path / 'b.json').write_text(text)
        with pytest.raises(InputError, match='JSON') as caught:
            read_annotated(tmp_path / 'a.png', labels=tmp_path / 'b.json')
        assert '\n' not in str(caught.value)


class TestPixelSize:
    def test_of_microscopes(self, tmp_path: Path) -> None:
        image = np.zeros(SHAPE, np.uint8)
        about: dict[str, dict[str, Any]] = {
            'ome.ome.tif': {
                'ome': True,
                'metadata': {'PhysicalSizeX': 250, 'PhysicalSizeXUnit': 'nm'},
            },
            'imagej.tif': {
                'imagej': True,
                'resolution': (4, 4),
                'metadata': {'unit': 'um'},
            },
            'scanner.tif': {
                'description': 'Aperio|MPP = 0.25',
                'metadata': None,
            },
            'centimeter.tif': {
                'resolution': (40_000, 40_000),
                'resolutionunit': 'CENTIMETER',
            },
        }  # fmt: skip
        for name, keywords in about.items():
            tifffile.imwrite(tmp_path / name, image, **keywords)
            size = read_pixel_size(tmp_path / name)
            assert size == pytest.approx(0.25), name

    def test_prints_and_others_say_nothing(self, tmp_path: Path) -> None:
        image = Image.fromarray(np.zeros(SHAPE, np.uint8))
        image.save(tmp_path / 'a.tif', dpi=(300, 300))
        image.save(tmp_path / 'a.png')
        for name in ('a.tif', 'a.png', 'none.tif'):
            assert read_pixel_size(tmp_path / name) is None


@pytest.mark.parametrize('kind', [*FORMATS])
def test_no_label_at_all(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f'none{FORMATS[kind]}'
    nothing = np.zeros((20, 30), np.uint8)
    write_label_format(path, nothing, kind, image='a.png')
    read = read_label_format(path, (20, 30), image='a.png')
    np.testing.assert_array_equal(read.labels, nothing)


@pytest.mark.parametrize('kind', ['Q', 'q', '>i4', '<u8'])
def test_whole_numbers_of_any_name_go_to_ome_zarr(
    kind: str, tmp_path: Path
) -> None:
    """numpy has two names for those of 64 bits; files of TIFF give either."""
    labels = (LABELS == 3).astype(kind) * np.array(2**30 + 1, kind)
    path = tmp_path / 'ids.ome.zarr'
    write_label_format(path, labels, 'ome-zarr', image='a.png')
    read = read_label_format(path, SHAPE, image='a.png')
    np.testing.assert_array_equal(read.labels, labels)
