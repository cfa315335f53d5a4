"""Data sets as they are published: from a folder to a protocol.

Each layout first looks for a list of pairs in ``manifests`` below the given
folder, then for the files as their authors distribute them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import PIL.Image
from scipy.io import loadmat

from napari_samnet.datasets.pair_lists import (
    FlowPair,
    KeypointPair,
    MaskPair,
    read_keypoint_pairs,
    read_mask_pairs,
    read_rows,
    resolve,
)
from napari_samnet.datasets.sequences import read_sequences
from napari_samnet.errors import InputError

__all__ = [
    'davis',
    'histology',
    'mouse',
    'pf_pascal',
    'pf_willow',
    'photo_style',
    'read_flow_pairs',
    'weizmann',
]

#: Longest side to which PF-PASCAL's published coordinates belong.
PF_PASCAL_SIDE = 300

TSS_GROUPS = ('FG3DCar', 'JODS', 'PASCAL')


def _first(root: Path, names: Sequence[str]) -> Path | None:
    """Return the first file or folder that exists below a folder."""
    for name in names:
        if (root / name).exists():
            return root / name
    return None


def _absent(root: Path, what: str, names: Sequence[str]) -> InputError:
    return InputError(
        f'{root} does not hold {what}: expected one of {", ".join(names)}'
    )


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
    listed = _first(root, lists)
    if listed is not None:
        return read_keypoint_pairs(listed, root)
    folder = _first(root, folders)
    if folder is None:
        raise _absent(root, 'PF-WILLOW', (*lists, *folders))
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
            f'{path} is not a MATLAB file with pts_coord: {error}'
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
    listed = _first(root, lists)
    if listed is None:
        raise _absent(root, 'PF-PASCAL', lists)
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


def read_flow_pairs(root: Path, pairs: Path | None = None) -> list[FlowPair]:
    """Pairs of the TSS kit: ``<group>/<pair>/image1.png, flow1.flo, ...``.

    Parameters
    ----------
    root : Path
        Folder of the groups, or one that holds it as ``Dataset``, ``TSS``,
        ``TSS_CVPR2016``, ``tss-sample`` or ``eval/tss-sample``.
    pairs : Path, optional
        JSON list of objects with ``group`` and ``name``, or CSV file with
        these columns. By default every folder with two images.
    """
    places = (
        'Dataset',
        'TSS',
        'TSS_CVPR2016',
        'tss-sample',
        'eval/tss-sample',
    )
    top = root
    if not any((root / group).is_dir() for group in TSS_GROUPS):
        top = _first(root, places) or root
    if pairs is not None:
        return [
            FlowPair(group, name, _folder(top, group, name, pairs))
            for group, name in _listed(pairs)
        ]
    folders = [
        FlowPair(path.parent.parent.name, path.parent.name, path.parent)
        for path in sorted(top.glob('*/*/image1.png'))
        if (path.parent / 'image2.png').is_file()
    ]
    if not folders:
        raise InputError(
            f'{root} does not hold the TSS kit: expected folders '
            f'<group>/<pair> with image1.png, image2.png, flow1.flo or .npz, '
            f'flow2.flo or .npz'
        )
    return folders


def _listed(path: Path) -> list[tuple[str, str]]:
    if path.suffix.lower() != '.json':
        return [
            (row.need('group'), row.need('name'))
            for row in read_rows(path, ('group', 'name'))
        ]
    try:
        entries = json.loads(path.read_text(encoding='utf-8'))
        return [(str(item['group']), str(item['name'])) for item in entries]
    except OSError as error:
        raise InputError(
            f'cannot read the list of pairs {path}: {error.strerror}'
        ) from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f'{path} must be a JSON list of objects with group and name'
        ) from None


def _folder(top: Path, group: str, name: str, where: Path) -> Path:
    folder = top / group / name
    if not folder.is_dir():
        raise InputError(f'{where}: there is no folder {folder}')
    return folder


def weizmann(root: Path) -> list[MaskPair]:
    """Weizmann horses.

    Without a list, every image whose number is divisible by 5 is paired with
    the next four of these, in the authors' folders (``rgb`` and
    ``figure_ground``) or in ``horse`` and ``mask``.
    """
    lists = ('manifests/weizmann_mask_pairs.csv',)
    listed = _first(root, lists)
    if listed is not None:
        return read_mask_pairs(listed, root)
    layouts = (
        ('rgb', 'figure_ground'),
        ('horse', 'mask'),
        ('images', 'masks'),
    )
    for top in (root, root / 'weizmann_horse_db'):
        for images, masks in layouts:
            if (top / images).is_dir() and (top / masks).is_dir():
                return _horses(top / images, top / masks)
    raise _absent(
        root,
        'Weizmann horses',
        (*lists, *(f'{images} and {masks}' for images, masks in layouts)),
    )


def _horses(images: Path, masks: Path) -> list[MaskPair]:
    test = []
    for image in sorted(images.iterdir()):
        number = ''.join(char for char in image.stem if char.isdigit())
        mask = _first(
            masks, [f'{image.stem}{end}' for end in ('.png', '.jpg', '.bmp')]
        )
        if number and int(number) % 5 == 0 and mask is not None:
            test.append((image, mask))
    pairs = []
    for index, (source, source_mask) in enumerate(test):
        for step in range(1, min(5, len(test))):
            target, target_mask = test[(index + step) % len(test)]
            pairs.append(
                MaskPair(
                    f'{source.stem}-{target.stem}',
                    'any',
                    source,
                    target,
                    source_mask,
                    target_mask,
                    where=str(images),
                )
            )
    if not pairs:
        raise InputError(f'{images} holds no two images with masks')
    return pairs


def photo_style(root: Path) -> list[MaskPair]:
    """Pairs of photographs with label maps of nine colors."""
    lists = ('manifests/photo_style_pairs.csv',)
    listed = _first(root, lists)
    if listed is None:
        raise _absent(root, 'photo-style pairs', lists)
    return read_mask_pairs(listed, root)


def davis(root: Path) -> list[MaskPair]:
    """Film frames: the first frame of each sequence and its later ones.

    Without a list of ours, the sequences of DAVIS 2016 are read as its
    authors distribute them, see :func:`read_sequences`.

    Parameters
    ----------
    root : Path
        Folder that holds ``manifests/davis16_mask_pairs.csv`` or the
        sequences.

    Returns
    -------
    list of MaskPair
        Their tag is the name of the sequence.

    Raises
    ------
    InputError
        If neither is there.
    """
    lists = ('manifests/davis16_mask_pairs.csv',)
    listed = _first(root, lists)
    if listed is not None:
        return read_mask_pairs(listed, root)
    return [
        MaskPair(
            f'{film.name}-{frame.stem}',
            film.name,
            film.frames[0],
            frame,
            film.masks[0],
            mask,
            where=film.where,
        )
        for film in read_sequences(root)
        for frame, mask in zip(film.frames[1:], film.masks[1:], strict=True)
    ]


def mouse(root: Path) -> list[KeypointPair]:
    """Frames of a mouse in an open field, with four keypoints each.

    Parameters
    ----------
    root : Path
        Folder that holds ``manifests/mouse_pairs.csv``.

    Returns
    -------
    list of KeypointPair
        All of the list.

    Raises
    ------
    InputError
        If there is no such list, or it names a file that is missing.
    """
    lists = ('manifests/mouse_pairs.csv',)
    listed = _first(root, lists)
    if listed is None:
        raise _absent(root, 'mouse in an open field', lists)
    return read_keypoint_pairs(listed, root)


def histology(root: Path) -> list[KeypointPair]:
    """Stained sections with landmarks.

    Without a list of ours, a table of BIRL or ANHIR is read: a CSV file with
    ``Source image, Target image, Source landmarks, Target landmarks``, each
    landmark file with the columns ``X`` and ``Y``.
    """
    lists = ('manifests/histology_landmark_pairs.csv',)
    listed = _first(root, lists)
    if listed is not None:
        return read_keypoint_pairs(listed, root)
    tables = sorted(root.glob('*.csv'))
    for table in tables:
        with table.open(encoding='utf-8-sig') as file:
            if 'Source landmarks' in file.readline():
                return _birl(table, root)
    raise _absent(
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
