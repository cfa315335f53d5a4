"""Animal Pose: pairs of animals of one species with keypoints in common.

The annotation is one JSON file for all images. A fifth of the images is left
out of training, chosen by the hash of the file's name, so that every program
that asks :func:`is_left_out` agrees on which. A tenth of the others is kept
back from the features, see :func:`is_kept_back`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_samnet.datasets.pair_lists import KeypointPair, resolve
from napari_samnet.errors import InputError

LIST = 'manifests/animal_pose_train_keypoints.json'

#: One image of so many is left out of training.
LEFT_OUT_OF = 5

#: One image of so many is kept back from what teaches features.
KEPT_BACK_OF = 10

#: A pair needs so many keypoints that are visible in both images.
FEWEST_POINTS = 4

SEED = 0


class _Animal(NamedTuple):
    file: str
    species: str
    box: tuple[float, float, float, float]
    points: NDArray[np.float64]
    visible: NDArray[np.bool_]


def is_left_out(file: str | Path) -> bool:
    """Whether an image of Animal Pose must not be trained on.

    ``file``: its file; the name without the folders decides. Returns: True for
    a fifth of all names: those whose CRC-32 is divisible by 5.
    """
    return zlib.crc32(Path(file).name.encode()) % LEFT_OUT_OF == 0


def is_kept_back(file: str | Path) -> bool:
    """Whether features are not taught by an image that may be trained on.

    What is chosen or fitted on training images is judged by these.

    ``file``: its file; the name without the folders decides. Returns: True for
    a tenth of all names: those whose CRC-32 ends in 2.
    """
    return zlib.crc32(Path(file).name.encode()) % KEPT_BACK_OF == 2


def animal_pose(root: Path) -> list[KeypointPair]:
    """Pairs of the images that may be trained on.

    ``root``: folder that holds ``manifests/animal_pose_train_keypoints.json``
    and the images that it names.
    Returns: each image is the source of one pair; its target is drawn with a
    fixed seed from the images of its species that show at least four of its
    keypoints. The category is the species.
    Raises InputError if the file or an image is missing or damaged.
    """
    return _pairs(root, lambda file: not is_left_out(file))


def animal_pose_left_out(root: Path) -> list[KeypointPair]:
    """Pairs whose images are both left out of training.

    Returns: as for :func:`animal_pose`, of the images for which
    :func:`is_left_out` holds.
    Raises InputError if the file or an image is missing or damaged.
    """
    return _pairs(root, is_left_out)


def animal_pose_kept_back(root: Path) -> list[KeypointPair]:
    """Pairs of images that features are not taught by.

    Returns: as for :func:`animal_pose`, of the images for which
    :func:`is_kept_back` holds, and :func:`is_left_out` does not.
    Raises InputError if the file or an image is missing or damaged.
    """
    return _pairs(
        root, lambda file: is_kept_back(file) and not is_left_out(file)
    )


def _pairs(root: Path, wanted: Callable[[str], bool]) -> list[KeypointPair]:
    animals = [animal for animal in _read(root / LIST) if wanted(animal.file)]
    rng = np.random.default_rng(SEED)
    pairs = []
    for index in rng.permutation(len(animals)):
        source = animals[index]
        choices = [
            animal
            for animal in animals
            if animal.species == source.species
            and animal.file != source.file
            and (animal.visible & source.visible).sum() >= FEWEST_POINTS
        ]
        if not choices:
            continue
        target = choices[rng.integers(len(choices))]
        common = source.visible & target.visible
        pairs.append(
            KeypointPair(
                f'{Path(source.file).stem}-{Path(target.file).stem}',
                source.species,
                resolve(root, source.file, LIST),
                resolve(root, target.file, LIST),
                source.points[common],
                target.points[common],
                source_box=source.box,
                target_box=target.box,
                where=f'{root / LIST}, {source.file}',
            )
        )
    if not pairs:
        raise InputError(f'{root / LIST} holds no two animals of a species')
    return pairs


def _read(path: Path) -> list[_Animal]:
    try:
        images: dict[str, Any] = json.loads(path.read_text('utf-8'))['images']
        return [_animal(file, entry) for file, entry in images.items()]
    except OSError as error:
        raise InputError(
            f'{path.parent.parent} does not hold Animal Pose: cannot read '
            f'{LIST}: {error.strerror or error}'
        ) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f'{path} must hold "images", each with "bbox" (x0, y0, x1, y1) '
            f'and "kp" (x, y, visible): {error!r}'
        ) from None


def _animal(file: str, entry: dict[str, Any]) -> _Animal:
    x0, y0, x1, y1 = map(float, entry['bbox'])
    x, y, visible = np.array(entry['kp'], np.float64).T
    points = np.stack([y, x], axis=1)
    species = Path(file).parent.name
    return _Animal(file, species, (x0, y0, x1, y1), points, visible > 0)
