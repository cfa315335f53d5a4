"""The images that the matching features are taught by, and those kept back."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_samnet.datasets.animal_pose import is_kept_back
from napari_samnet.datasets.image_lists import ImageList
from napari_samnet.datasets.left_out import is_left_out
from napari_samnet.datasets.reading import read_image
from napari_samnet.training.annotated import (
    AnnotatedImage,
    AnnotatedView,
    read_annotated_images,
    views_of,
)
from napari_samnet.training.categorystage import spread_images
from napari_samnet.training.marked_points import read_marked_images
from napari_samnet.training.options import TrainingOptions


class FeatureImages(NamedTuple):
    """The images of the stage, in the order of its store."""

    #: Views with keypoints.
    annotated: list[AnnotatedView]
    #: Of which pairs of one category are made.
    category: ImageList
    #: Photographs that are warped.
    warped: ImageList


def taught_images(options: TrainingOptions) -> list[AnnotatedImage]:
    """Annotated images that the features may be taught by.

    ``options``: names the file with the keypoints; none by default.
    Returns: without those that are left out for measuring, see
    :func:`~napari_samnet.datasets.left_out.is_left_out`, and those that the
    confidence is fitted on, see :func:`confidence_images`.
    """
    return [
        image
        for image in _annotated(options)
        if not _keeps_back(image.path, options)
    ]


def confidence_images(options: TrainingOptions) -> list[AnnotatedImage]:
    """Annotated images that the confidence is fitted on.

    They must not be among those that the features are taught by, on which
    matches are better than on others.

    ``options``: names the file with the keypoints; none by default. Returns: a
    tenth of all, by the hash of the file's name; none of the user's own where
    no confidence is fitted.
    """
    return [
        image
        for image in _annotated(options)
        if _keeps_back(image.path, options)
    ]


def _keeps_back(path: Path, options: TrainingOptions) -> bool:
    wanted = options.confidence_pairs > 0 or 'animal-pose' in path.parts
    return wanted and is_kept_back(path)


def _annotated(options: TrainingOptions) -> list[AnnotatedImage]:
    if not options.keypoints:
        return []
    listed = Path(options.keypoints)
    root = options.keypoints_root
    read = (
        read_marked_images(Path(root or listed), listed)
        if listed.is_dir()
        else read_annotated_images(listed, Path(root or listed.parent))
    )
    return [
        image
        for image in read
        if not is_left_out(image.path) and image.path.is_file()
    ]


def feature_images(
    images: ImageList, options: TrainingOptions
) -> FeatureImages:
    """Annotated images, images for category pairs, and photographs."""
    annotated = taught_images(options)
    kept_back = {image.path for image in confidence_images(options)}
    images = [image for image in images if image.path not in kept_back]
    # People's keypoints say more of these than the features before.
    learnt = {image.path for image in annotated}
    unlabeled = [image for image in images if image.path not in learnt]
    rng = np.random.default_rng(options.seed + 4)
    drawn = rng.choice(
        len(images), min(options.feature_warps, len(images)), replace=False
    )
    views = [
        view
        for image in annotated
        for view in views_of(image, read_image(image.path).shape[:2], rng)
    ]
    return FeatureImages(
        views,
        spread_images(unlabeled, options.feature_images, options.seed),
        [images[int(index)] for index in drawn],
    )
