from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from napari_samnet.datasets import published_keypoints, published_masks
from napari_samnet.datasets.animal_pose import (
    animal_pose,
    animal_pose_kept_back,
    animal_pose_left_out,
    is_kept_back,
    is_left_out,
)
from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import run_benchmark
from napari_samnet.evaluation.methods.base import Identity
from napari_samnet.evaluation.protocols.registry import (
    PRESETS,
    PairRequest,
    open_protocol,
)


def picture(path, width=80, height=60, mode='RGB'):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (width, height)).save(path)


def test_willow_folders_give_all_ordered_pairs(tmp_path):
    top = tmp_path / 'PF-dataset-WILLOW'
    for category in ('car(G)', 'duck(S)'):
        for index in range(3):
            image = top / category / f'{index}.png'
            picture(image)
            points = np.array([[1, 2, 3], [10, 20, 30 + index]], float)
            savemat(image.with_suffix('.mat'), {'pts_coord': points})
    pairs = published_keypoints.pf_willow(tmp_path)
    assert len(pairs) == 2 * 3 * 2
    assert {pair.category for pair in pairs} == {'car(G)', 'duck(S)'}
    assert pairs[0].source_points.tolist() == [[10, 1], [20, 2], [30, 3]]
    assert pairs[0].target_points.tolist() == [[10, 1], [20, 2], [31, 3]]
    (top / 'car(G)' / '0.mat').write_bytes(b'nothing')
    with pytest.raises(InputError, match=r'0\.mat is not a MATLAB file'):
        published_keypoints.pf_willow(tmp_path)


def test_pascal_coordinates_belong_to_300_pixels(tmp_path):
    folder = tmp_path / 'PF-dataset-PASCAL' / 'JPEGImages'
    picture(folder / 'a.jpg', 500, 375)
    picture(folder / 'b.jpg', 300, 200)
    (tmp_path / 'test_pairs_pf_pascal.csv').write_text(
        'source_image,target_image,class,XA,YA,XB,YB\n'
        'PF-dataset-PASCAL/JPEGImages/a.jpg,'
        'PF-dataset-PASCAL/JPEGImages/b.jpg,1,149.5;29.5,112;4,9;8,7;6\n'
    )
    request = PairRequest(root=tmp_path)
    pair = open_protocol('pf-pascal', request).load(0)
    scale = 500 / 300
    assert np.allclose(
        pair.truth[0],
        [
            [112.5 * scale - 0.5, 150 * scale - 0.5],
            [4.5 * scale - 0.5, 30 * scale - 0.5],
        ],
    )
    assert pair.truth[1].tolist() == [[7, 9], [6, 8]]
    settings = open_protocol('pf-pascal', request).settings()
    assert settings['threshold_by'] == 'image'


@pytest.mark.parametrize(
    ('images', 'masks', 'ending'),
    [('rgb', 'figure_ground', 'jpg'), ('horse', 'mask', 'png')],
)
def test_weizmann_folders(tmp_path, images, masks, ending):
    top = tmp_path / 'weizmann_horse_db'
    for number in range(1, 31):
        picture(top / images / f'horse{number:03}.{ending}')
        picture(top / masks / f'horse{number:03}.{ending}', mode='L')
    pairs = published_masks.weizmann(tmp_path)
    assert {pair.source.stem for pair in pairs} == {
        f'horse{number:03}' for number in range(5, 31, 5)
    }
    assert len(pairs) == 6 * 4
    for frame in range(3):
        film = top.parent / 'film'
        picture(film / f'{frame:05}.jpg')
        picture(film / f'{frame:05}.png', mode='L')
    together = open_protocol('masks', PairRequest(root=tmp_path))
    assert len(together) == len(pairs) + 2
    outcome = run_benchmark(
        open_protocol('weizmann', PairRequest(root=tmp_path)),
        [Identity()],
        limit=2,
    )
    assert outcome.result['methods']['identity']['lt_acc'] == 1


def test_tables_of_birl(tmp_path):
    for name in ('a', 'b'):
        picture(tmp_path / 'kidney' / f'{name}.jpg')
        (tmp_path / 'kidney' / f'{name}.csv').write_text(
            ',X,Y\n1,10,20\n2,30,40\n'
        )
    (tmp_path / 'pairs.csv').write_text(
        'Target image,Source image,Target landmarks,Source landmarks\n'
        'kidney/a.jpg,kidney/b.jpg,kidney/a.csv,kidney/b.csv\n'
        'kidney/a.jpg,kidney/b.jpg,,kidney/b.csv\n'
    )
    (pair,) = published_keypoints.histology(tmp_path)
    assert pair.source.name == 'b.jpg'
    assert pair.category == 'kidney'
    assert pair.source_points.tolist() == [[20, 10], [40, 30]]
    outcome = run_benchmark(
        open_protocol('histology', PairRequest(root=tmp_path)), [Identity()]
    )
    assert outcome.result['methods']['identity']['rtre'] == 0


@pytest.mark.parametrize('name', PRESETS)
def test_an_empty_folder_holds_no_data_set(tmp_path, name):
    with pytest.raises(InputError, match='does not hold') as error:
        open_protocol(name, PairRequest(root=tmp_path))
    assert '\n' not in str(error.value)


def test_presets_and_protocols_belong_together(tmp_path):
    with pytest.raises(InputError, match='protocol must be one of'):
        open_protocol('depth', PairRequest())
    with pytest.raises(InputError, match='preset must be one of'):
        open_protocol('flow', PairRequest(), 'kitti')
    with pytest.raises(InputError, match='belongs to the protocol flow'):
        open_protocol('masks', PairRequest(), 'tss')
    with pytest.raises(InputError, match='there is no folder'):
        open_protocol('tss', PairRequest(root=tmp_path / 'nowhere'))
    for protocol in ('keypoints', 'masks', 'landmarks'):
        with pytest.raises(InputError, match='needs a list of pairs'):
            open_protocol(protocol, PairRequest(root=tmp_path))


@pytest.mark.parametrize(
    ('preset', 'floor'),
    [
        (
            'pf-willow',
            {'pck@0.05': 0.122, 'pck@0.10': 0.270, 'pck@0.15': 0.417},
        ),
        ('tss', {'t5': 0.289}),
        ('photo-style', {'lt_acc': 0.693}),
        ('histology', {'rtre': 0.0439}),
        ('davis', {'iou': 0.359}),
    ],
)
def test_floors_of_doing_nothing(data_root, preset, floor):
    protocol = open_protocol(preset, PairRequest(root=data_root))
    outcome = run_benchmark(protocol, [Identity()])
    scores = outcome.result['methods']['identity']
    for name, value in floor.items():
        assert scores[name] == pytest.approx(value, abs=0.0007)


def test_floors_of_the_horses(data_root):
    protocol = open_protocol('weizmann', PairRequest(root=data_root))
    outcome = run_benchmark(protocol, [Identity()])
    groups = outcome.result['methods']['identity']['groups']
    for name, overlap, accuracy in (
        ('similar', 0.453, 0.805),
        ('any', 0.423, 0.791),
    ):
        assert groups[name]['iou'] == pytest.approx(overlap, abs=0.001)
        assert groups[name]['lt_acc'] == pytest.approx(accuracy, abs=0.001)


def test_davis_as_its_authors_distribute_it(tmp_path):
    for folder, kind, mode in (
        ('JPEGImages', 'jpg', 'RGB'),
        ('Annotations', 'png', '1'),
    ):
        for name in ('bear', 'camel'):
            for frame in range(3):
                file = f'{folder}/480p/{name}/{frame:05}.{kind}'
                picture(tmp_path / file, mode=mode)
    picture(tmp_path / 'JPEGImages/480p/bear/00003.jpg')
    pairs = published_masks.davis(tmp_path)
    assert [(p.tag, p.source.stem, p.target.stem) for p in pairs] == [
        ('bear', '00000', '00001'),
        ('bear', '00000', '00002'),
        ('camel', '00000', '00001'),
        ('camel', '00000', '00002'),
    ]


def animals(root, count):
    """Write Animal Pose with so many sheep and two cats."""
    images = {}
    for index in range(count):
        file = f'train/animal-pose/sheep/{index}.jpg'
        points = [[index, 2 * k, 1] for k in range(5)] + [[0, 0, 0]]
        images[file] = {'bbox': [1, 2, 31, 42], 'kp': points}
    for name in ('a', 'b'):
        points = [[0, 0, name == 'a']] * 3 + [[5, 6, 1]] * 3
        images[f'train/animal-pose/cat/{name}.jpg'] = {
            'bbox': [0, 0, 9, 9],
            'kp': points,
        }
    for file in images:
        picture(root / file)
    path = root / 'manifests' / 'animal_pose_train_keypoints.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({'names': [], 'images': images}))


def test_animal_pose_is_split_by_image(tmp_path):
    animals(tmp_path, 40)
    trained, left_out = animal_pose(tmp_path), animal_pose_left_out(tmp_path)
    for pairs, out in ((trained, False), (left_out, True)):
        for pair in pairs:
            assert pair.source != pair.target
            assert is_left_out(pair.source) == is_left_out(pair.target) == out
    # Each sheep is a source once; the cats have too few points in common.
    assert len(trained) + len(left_out) == 40
    assert {pair.category for pair in trained} == {'sheep'}
    assert trained[0].target_box == (1, 2, 31, 42)
    assert trained[0].source_points.tolist() == [
        [2 * k, int(trained[0].source.stem)] for k in range(5)
    ]
    again = [(p.source, p.target) for p in animal_pose(tmp_path)]
    assert again == [(p.source, p.target) for p in trained]


def test_images_that_features_are_not_taught_by_make_pairs(tmp_path):
    animals(tmp_path, 200)
    pairs = animal_pose_kept_back(tmp_path)
    shown = {path for pair in pairs for path in (pair.source, pair.target)}
    assert len(pairs) > 1
    assert all(is_kept_back(path) for path in shown)
    assert not any(is_left_out(path) for path in shown)


def test_damaged_animal_pose_is_told(tmp_path):
    animals(tmp_path, 2)
    file = tmp_path / 'manifests' / 'animal_pose_train_keypoints.json'
    file.write_text('{"images": {"a.jpg": {"bbox": [1, 2]}}}')
    with pytest.raises(InputError, match='must hold "images"'):
        animal_pose(tmp_path)
