"""Published sets of pairs with keypoints or landmarks.

Each layout first looks for a list of pairs in ``manifests`` below the given
folder, then for the files as their authors distribute them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import PIL.Image
from scipy.io import loadmat

from napari_samnet.datasets.pair_lists import (
    KeypointPair,
    absent,
    first_below,
    read_keypoint_pairs,
    read_rows,
    resolve,
)
from napari_samnet.errors import InputError, in_one_line

#: Longest side to which PF-PASCAL's published coordinates belong.
PF_PASCAL_SIDE = 300


def pf_willow(root: Path) -> list[KeypointPair]:
    """PF-WILLOW: all ordered pairs within each of the ten categories.

    Understood are a list of pairs, and the authors' folders
    ``PF-dataset-WILLOW/<category>/<image>.png`` with keypoints
    (``pts_coord``) in a ``.mat`` file beside each image.
    """
    lists = (
        'manifests/pf_willow_pairs.csv',
        'test_pairs_pf.csv',
        'PF-dataset/test_pairs_pf.csv',
        'PF-WILLOW/test_pairs.csv',
    )
    folders = ('PF-dataset-WILLOW', 'PF-dataset', 'car(G)')
    listed = first_below(root, lists)
    if listed is not None:
        return read_keypoint_pairs(listed, root)
    folder = first_below(root, folders)
    if folder is None:
        raise absent(root, 'PF-WILLOW', (*lists, *folders))
    top = root if folder.name == folders[-1] else folder
    pairs = []
    for category in sorted(path for path in top.iterdir() if path.is_dir()):
        images = sorted(category.glob('*.png'))
        places = {image: _mat_points(image) for image in images}
        for source, target in permutations(images, 2):
            if len(places[source]) != len(places[target]):
                raise InputError(
                    f'{source.with_suffix(".mat")} and '
                    f'{target.with_suffix(".mat")} must hold equally many '
                    f'points'
                )
            pairs.append(
                KeypointPair(
                    f'{category.name}-{source.stem}-{target.stem}',
                    category.name,
                    source,
                    target,
                    places[source],
                    places[target],
                    where=str(source.with_suffix('.mat')),
                )
            )
    if not pairs:
        raise InputError(f'{top} holds no pairs of .png images')
    return pairs


def _mat_points(image: Path) -> np.ndarray:
    path = image.with_suffix('.mat')
    try:
        points = np.asarray(loadmat(path)['pts_coord'], float)
    except Exception as error:  # noqa: BLE001
        # Damaged files raise nearly anything.
        raise InputError(
            f'{path} is not a MATLAB file with pts_coord: {in_one_line(error)}'
        ) from None
    if points.ndim != 2 or points.shape[0] < 2 or not points.shape[1]:
        raise InputError(
            f'{path}: pts_coord must be 2 x N, got {points.shape}'
        )
    return points[1::-1].T


def pf_pascal(root: Path) -> list[KeypointPair]:
    """PF-PASCAL: the 299 test pairs of SCNet.

    The list is ``test_pairs_pf_pascal.csv`` (also under the name
    ``image_pairs/test_pairs.csv``); its image names start at the folder
    that holds ``PF-dataset-PASCAL/JPEGImages``. Coordinates belong to images
    whose longest side is 300 pixels and are scaled where it is not.
    """
    lists = (
        'manifests/pf_pascal_test_pairs.csv',
        'PF-dataset-PASCAL/test_pairs_pf_pascal.csv',
        'test_pairs_pf_pascal.csv',
        'image_pairs/test_pairs.csv',
        'test_pairs.csv',
    )
    listed = first_below(root, lists)
    if listed is None:
        raise absent(root, 'PF-PASCAL', lists)
    pairs = read_keypoint_pairs(listed, root)
    return [_pascal_size(pair) for pair in pairs]


def _pascal_size(pair: KeypointPair) -> KeypointPair:
    if pair.source_shape is not None:
        return pair
    shapes = []
    for path in (pair.source, pair.target):
        with PIL.Image.open(path) as image:
            scale = PF_PASCAL_SIDE / max(image.size)
            width, height = (round(side * scale) for side in image.size)
            shapes.append((height, width))
    return replace(pair, source_shape=shapes[0], target_shape=shapes[1])


def mouse(root: Path) -> list[KeypointPair]:
    """Frames of a mouse in an open field, with four keypoints each.

    ``root``: folder that holds ``manifests/mouse_pairs.csv``. Raises
    InputError if there is no such list, or it names a file that is missing.
    """
    lists = ('manifests/mouse_pairs.csv',)
    listed = first_below(root, lists)
    if listed is None:
        raise absent(root, 'mouse in an open field', lists)
    return read_keypoint_pairs(listed, root)


def histology(root: Path) -> list[KeypointPair]:
    """Stained sections with landmarks.

    Without a list of ours, a table of BIRL or ANHIR is read: a CSV file with
    ``Source image, Target image, Source landmarks, Target landmarks``, each
    landmark file with the columns ``X`` and ``Y``.
    """
    lists = ('manifests/histology_landmark_pairs.csv',)
    listed = first_below(root, lists)
    if listed is not None:
        return read_keypoint_pairs(listed, root)
    tables = sorted(root.glob('*.csv'))
    for table in tables:
        with table.open(encoding='utf-8-sig') as file:
            if 'Source landmarks' in file.readline():
                return _birl(table, root)
    raise absent(
        root,
        'histology landmarks',
        (*lists, 'a table with Source image, Source landmarks, ...'),
    )


def _birl(table: Path, root: Path) -> list[KeypointPair]:
    columns = [
        f'{side} {what}'
        for what in ('image', 'landmarks')
        for side in ('Source', 'Target')
    ]
    pairs = []
    for number, row in enumerate(read_rows(table, columns)):
        # Held-out tables leave the target's landmarks empty.
        if not row.get('Target landmarks'):
            continue
        files = [resolve(root, row.need(name), row.where) for name in columns]
        points = [_birl_points(file) for file in files[2:]]
        count = min(len(part) for part in points)
        pairs.append(
            KeypointPair(
                row.get('pair_id') or f'{number}',
                Path(row.need('Source image')).parts[0],
                files[0],
                files[1],
                points[0][:count],
                points[1][:count],
                where=row.where,
            )
        )
    if not pairs:
        raise InputError(f'{table} lists no pair with landmarks')
    return pairs


def _birl_points(path: Path) -> np.ndarray:
    rows = read_rows(path, ('X', 'Y'))
    return np.array(
        [[row.numbers('Y')[0], row.numbers('X')[0]] for row in rows]
    )
