"""Turning and mirroring images, points and answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from napari_samnet.arrays.resize import center_grid
from napari_samnet.correspondence import Correspondence
from napari_samnet.evaluation.interfaces import (
    Answer,
    Image,
)
from napari_samnet.warping.boundaries import sample_displacement

Points = NDArray[np.float64]


@dataclass(frozen=True)
class ImageTurn:
    """A mirror and a rotation of a whole image."""

    #: Rotation about the center, counterclockwise, after the mirror.
    degrees: float = 0.0
    #: Exchange left and right first.
    mirrored: bool = False

    @property
    def name(self) -> str:
        """Short name, such as ``90`` or ``90m``."""
        return f'{self.degrees:g}{"m" if self.mirrored else ""}'

    @property
    def group(self) -> str:
        """What it is averaged with: upright, flips and quarters, or finer."""
        if self == ImageTurn():
            return 'upright'
        if self.mirrored or self.degrees % 90 == 0:
            return 'flips and quarter turns'
        return 'multiples of 15 degrees'

    @property
    def matrix(self) -> Points:
        """Linear map of (row, column) offsets from the image's center."""
        angle = np.deg2rad(self.degrees)
        cosine, sine = np.cos(angle), np.sin(angle)
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        if self.degrees % 90 == 0:
            rotation = np.round(rotation)
        return rotation @ np.diag([1.0, -1.0 if self.mirrored else 1.0])

    def turned_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Size of the canvas that holds the whole turned image."""
        rows, columns = np.ceil(np.abs(self.matrix) @ shape - 1e-6)
        return int(rows), int(columns)

    def move(self, points: Points, shape: tuple[int, int]) -> Points:
        """Bring points of the upright image to the turned one.

        ``points`` (N, 2): row and column in pixels. Returns: (N, 2): row and
        column in pixels of the turned image.
        """
        center, turned = self._centers(shape)
        return (points - center) @ self.matrix.T + turned

    def move_back(self, points: Points, shape: tuple[int, int]) -> Points:
        """Bring points of the turned image to the upright one.

        The inverse of :meth:`move`, with the same parameters.
        """
        center, turned = self._centers(shape)
        return (points - turned) @ self.matrix + center

    def _centers(self, shape: tuple[int, int]) -> tuple[Points, Points]:
        """Centers of the upright and of the turned image, in pixels."""
        turned = self.turned_shape(shape)
        return (np.array(shape) - 1) / 2, (np.array(turned) - 1) / 2

    def image(self, image: Image) -> Image:
        """Turn an image.

        ``image`` (H, W, 3): the upright image, RGB from 0 to 1.
        Returns: on the canvas of :meth:`turned_shape`. What lies beyond the
        image gets the median color of its border.
        """
        shape = (image.shape[0], image.shape[1])
        size = self.turned_shape(shape)
        at = self.move_back(_pixels(size), shape).T.reshape(2, *size)
        border = np.concatenate(
            [image[0], image[-1], image[:, 0], image[:, -1]]
        )
        fill = np.median(border, axis=0)
        return np.stack(
            [
                map_coordinates(
                    image[..., band], at, order=1, cval=float(fill[band])
                )
                for band in range(image.shape[2])
            ],
            axis=-1,
        )

    def upright(
        self, answer: Answer, shape: tuple[int, int], *, labels: bool
    ) -> Answer:
        """An answer for the turned target, told of the upright one.

        ``labels``: whether `answer` carries labels, to be brought back as
        well.
        Returns: its correspondence leads to the upright target and back; there
        is no image and no evidence.
        """
        match = answer.correspondence
        size = np.array(self.turned_shape(shape))
        start = center_grid(match.forward.shape).reshape(-1, 2)
        ends = (start + match.forward.reshape(-1, 2)) * size - 0.5
        forward = (self.move_back(ends, shape) + 0.5) / shape - start
        # As many cells as before, on a canvas that may have other sides.
        cells = match.backward.shape[:2]
        upright = center_grid(cells).reshape(-1, 2)
        turned = self.move(upright * shape - 0.5, shape)
        share = (turned + 0.5) / size
        back = sample_displacement(match.backward, share.T).T
        confidence = map_coordinates(
            match.backward_cell_confidence,
            (share * cells - 0.5).T,
            order=1,
            mode='nearest',
        )
        carried = None
        if labels:
            assert answer.labels is not None
            at = np.round(self.move(_pixels(shape), shape)).astype(int)
            rows, columns = np.clip(at, 0, size - 1).T
            carried = answer.labels[rows, columns].reshape(shape)
        return Answer(
            Correspondence(
                forward=forward.reshape(match.forward.shape).astype('f4'),
                backward=(share + back - upright)
                .reshape(match.backward.shape)
                .astype('f4'),
                forward_cell_confidence=match.forward_cell_confidence,
                backward_cell_confidence=confidence.reshape(cells).astype(
                    'f4'
                ),
                source_shape=match.source_shape,
                target_shape=shape,
                metadata=match.metadata,
            ),
            labels=carried,
            quality=answer.quality,
        )


def _pixels(shape: tuple[int, int]) -> Points:
    """All pixels of an image, (rows * columns, 2)."""
    return np.moveaxis(np.indices(shape, float), 0, -1).reshape(-1, 2)


#: The 24 rotations by multiples of 15 degrees, and the four mirrored ones.
TURNS = (
    *(ImageTurn(degrees) for degrees in range(0, 360, 15)),
    *(ImageTurn(degrees, mirrored=True) for degrees in range(0, 360, 90)),
)

#: Which of them a run may be restricted to.
TURN_SETS: dict[str, tuple[ImageTurn, ...]] = {
    'all': TURNS,
    'quarter': tuple(t for t in TURNS if t.degrees % 90 == 0),
    'upright': (ImageTurn(),),
}


def residual_turn(
    truth: Points,
    estimate: Points,
    weights: NDArray[np.floating] | None = None,
) -> tuple[float, bool]:
    """Rotation or reflection that is left between two sets of points.

    ``truth``, ``estimate`` (N, 2): points in pixels of one image.
    ``weights`` (N,): how much each point counts; all alike by default.
    Returns: ``degrees``: angle of the orthogonal map that fits best, from 0 to
    180; 0 where it mirrors; ``mirrored``: whether it mirrors.
    """
    share = np.ones(len(truth)) if weights is None else weights
    share = share / max(share.sum(), 1e-12)
    one, two = (part - share @ part for part in (truth, estimate))
    left, _, right = np.linalg.svd((one * share[:, None]).T @ two)
    rotation = left @ right
    if np.linalg.det(rotation) < 0:
        return 0.0, True
    cosine = np.clip(np.trace(rotation) / 2, -1, 1)
    return float(np.rad2deg(np.arccos(cosine))), False
