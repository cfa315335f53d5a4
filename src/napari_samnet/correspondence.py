"""What a match found: where each pixel of an image lies in the other.

A :class:`Correspondence` holds two small fields and answers at the size of
the images: flows, warped labels, images and points, and how well the two
directions agree. It needs no network, and can be saved and loaded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.checks import (
    as_array,
    check_labels,
    check_transferred,
    checked_confidence,
    checked_field,
    checked_image,
    checked_output,
    checked_points,
    checked_shape,
)
from napari_samnet.arrays.lazy import new_array
from napari_samnet.arrays.resize import resized
from napari_samnet.arrays.tiles import run_tiles, tiles
from napari_samnet.errors import InputError
from napari_samnet.images.plane import Plane
from napari_samnet.io import npz as archive
from napari_samnet.labels.bent import follow_field
from napari_samnet.labels.estimate import label_quality
from napari_samnet.labels.evidence import Evidence
from napari_samnet.labels.kernel import label_kernel
from napari_samnet.labels.quality import LabelQuality
from napari_samnet.labels.tables import LabelField
from napari_samnet.warping.fields import (
    full_flow,
    full_map,
    round_trip,
    sample_field,
)
from napari_samnet.warping.landmarks import bend_field
from napari_samnet.warping.warp import Canvas, Pixels, warp, warp_bilinear

__all__ = ['Correspondence']

FloatArray = npt.NDArray[np.float32]
Side = Literal['source', 'target']

#: The mean consistency is taken over a grid of at most this many a side.
CONSISTENCY_SIDE = 512


@dataclass(frozen=True, eq=False, kw_only=True)
class Correspondence:
    """The correspondence of two images, in both directions.

    Fields are given at the centers of a grid of cells that covers the image
    they start from: cell `k` of `n` has its center at ``(k + 0.5) / n`` of
    the side. Between centers they are bilinear, beyond the outermost ones
    their slope goes on, so that an affine motion is reproduced exactly.

    Parameters
    ----------
    forward : ndarray of float32, shape (h, w, 2)
        Displacement (row, column) from source to target in normalized units:
        1 is the full side, and a point at `u` of the source's side lies at
        ``u + forward`` of the target's.
    backward : ndarray of float32, shape (h2, w2, 2)
        Displacement from target to source, at the target's cells.
    forward_confidence : ndarray of float32, shape (h, w)
        Confidence of `forward`, from 0 to 1.
    backward_confidence : ndarray of float32, shape (h2, w2)
        Confidence of `backward`, from 0 to 1.
    evidence : Evidence, optional
        The source's cells that each of the target's looks like, wherever
        they lie; see :mod:`napari_samnet.labels.evidence`.
    source_shape, target_shape : tuple of int
        Rows and columns of the two images.
    transferred : ndarray, optional
        The source with the target's attributes: size, dtype and channels of
        the source.
    warped_labels : ndarray of int or bool, optional
        Labels of the source on the target's grid, if the match was given
        some.
    metadata : dict
        How it came about; anything that JSON can hold.

    Raises
    ------
    InputError
        If shapes do not fit together or values are not finite.

    Notes
    -----
    A flow lives on the grid of the image it starts from, and warping is
    backward sampling: labels of the source reach the target through the
    field from target to source, which gives every pixel of the target
    exactly one label.
    """

    forward: FloatArray
    backward: FloatArray
    forward_confidence: FloatArray
    backward_confidence: FloatArray
    source_shape: tuple[int, int]
    target_shape: tuple[int, int]
    evidence: Evidence | None = None
    transferred: npt.NDArray[Any] | None = None
    warped_labels: npt.NDArray[Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def settle(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        for name in ('source_shape', 'target_shape'):
            settle(name, checked_shape(name, getattr(self, name)))
        for name in ('forward', 'backward'):
            values = checked_field(name, getattr(self, name))
            settle(name, values)
            trust = f'{name}_confidence'
            given = getattr(self, trust)
            settle(trust, checked_confidence(trust, given, values.shape[:2]))
        if not isinstance(self.evidence, Evidence | None):
            raise InputError(
                f'evidence must be an Evidence or None, got a '
                f'{type(self.evidence).__name__}'
            )
        if not isinstance(self.metadata, dict):
            raise InputError(
                f'metadata must be a dict, got a '
                f'{type(self.metadata).__name__}'
            )
        if self.transferred is not None:
            check_transferred(self.transferred, self.source_shape)
        if self.warped_labels is not None:
            check_labels(
                'warped_labels', self.warped_labels, self.target_shape
            )

    @property
    def flow(self) -> FloatArray:
        """Flow from source to target: float32 (Hs, Ws, 2).

        Where a pixel of the source lies in the target, minus its own index,
        as (row, column) in pixels. Computed on each access.
        """
        return full_flow(self.forward, self.source_shape, self.target_shape)

    @property
    def backward_flow(self) -> FloatArray:
        """Flow from target to source: float32 (Ht, Wt, 2), like `flow`."""
        return full_flow(self.backward, self.target_shape, self.source_shape)

    @property
    def confidence(self) -> FloatArray:
        """Confidence of `flow`: float32 (Hs, Ws) from 0 to 1."""
        return full_map(self.forward_confidence, self.source_shape)

    @property
    def backward_confidence_map(self) -> FloatArray:
        """Confidence of `backward_flow`: float32 (Ht, Wt) from 0 to 1."""
        return full_map(self.backward_confidence, self.target_shape)

    @property
    def consistency(self) -> FloatArray:
        """Forward-backward error: float32 (Hs, Ws), in source pixels.

        How far from its start each pixel of the source ends when it goes to
        the target and back. Where it leaves the target, the displacement at
        the border takes it back.
        """
        out = new_array(self.source_shape, np.float32)

        def work(rows: slice) -> None:
            out[rows] = self._error(self.source_shape, rows)[0]

        run_tiles(work, (rows for rows, _ in tiles(self.source_shape)))
        return out

    def mean_consistency(self) -> float:
        """Mean forward-backward error of the points that stay inside.

        Returns
        -------
        float
            In source pixels, over an even grid of at most 512 points a side.
            NaN if all points leave the target.
        """
        rows, columns = self.source_shape
        grid = (min(rows, CONSISTENCY_SIDE), min(columns, CONSISTENCY_SIDE))
        error, inside = self._error(grid, slice(0, grid[0]))
        return float(error[inside].mean()) if inside.any() else float('nan')

    def warp_labels(
        self,
        labels: Any,
        *,
        min_confidence: float = 0.0,
        evidence: bool = True,
        image: Any = None,
        channel_axis: int | None = None,
        out: Any = None,
    ) -> Any:
        """Labels of the source on the target's grid.

        The field brings the nearest label. Where the source's cells that
        look alike have another one, that is taken, and with `image` outlines
        follow its edges. Labels that the cells do not resolve go exactly
        where the field leads.

        Parameters
        ----------
        labels : array_like of int or bool, shape (Hs, Ws)
            In memory or lazy.
        min_confidence : float
            Pixels that are matched with less confidence get 0.
        evidence : bool
            Use `evidence`, if it was kept. Without it labels come from the
            field alone.
        image : array_like, optional
            The target. Outlines are moved to the edges that it shows nearby;
            without it they stay as evidence and field have them.
        channel_axis : int, optional
            Axis of the channels of `image`, where it is not the last of an
            RGB image.
        out : array_like, shape (Ht, Wt), optional
            Where to put the result, such as a memory map or zarr array.

        Returns
        -------
        ndarray, shape (Ht, Wt)
            In the dtype of `labels`; 0 where the target shows what is
            outside of the source.

        Raises
        ------
        InputError
            If the labels are not of the source's shape or not whole numbers,
            or the image is not of the target's.
        """
        labels = as_array(labels, 'labels')
        check_labels('labels', labels, self.source_shape)
        out = checked_output(out, self.target_shape, labels.dtype)
        pixels = Pixels.of(labels)
        kernel = label_kernel(
            self.label_field(evidence=evidence),
            pixels,
            min_confidence=min_confidence,
            image=self._target_plane(image, channel_axis),
        )
        warp(pixels, self.source_shape, self.backward, Canvas(out), kernel)
        return out

    def label_quality(self, labels: Any) -> list[LabelQuality]:
        """Estimate how well each label is carried, without the truth.

        Parameters
        ----------
        labels : array_like of int or bool, shape (Hs, Ws)
            Labels of the source, in memory or lazy.

        Returns
        -------
        list of LabelQuality
            Estimate of the IoU of every label but 0, and whether nothing of
            it is left; see :mod:`napari_samnet.labels.quality`.

        Raises
        ------
        InputError
            If the labels are not of the source's shape or not whole numbers.
        """
        labels = as_array(labels, 'labels')
        check_labels('labels', labels, self.source_shape)
        return label_quality(self.label_field(), Pixels.of(labels))

    def label_field(self, *, evidence: bool = True) -> LabelField:
        """What carries labels of the source to the target's grid.

        Parameters
        ----------
        evidence : bool
            Whether the evidence is among it.

        Returns
        -------
        LabelField
            For :func:`napari_samnet.labels.kernel.label_kernel`.
        """
        return LabelField(
            self.source_shape,
            self.target_shape,
            self.backward,
            self.backward_confidence,
            self.evidence if evidence else None,
        )

    def _target_plane(
        self, image: Any, channel_axis: int | None
    ) -> Plane | None:
        """The target as it was given, checked."""
        if image is None:
            return None
        plane = Plane.of(image, name='image', channel_axis=channel_axis)
        if plane.shape != self.target_shape:
            raise InputError(
                f'image must be the target, of {self.target_shape} rows and '
                f'columns, got {plane.shape}'
            )
        return plane

    def warp_image(
        self,
        image: Any,
        *,
        to: Side = 'source',
        fill: float = 0.0,
        out: Any = None,
    ) -> Any:
        """An image of one side, sampled bilinearly on the grid of the other.

        Parameters
        ----------
        image : array_like, shape (H, W), (H, W, C) or (C, H, W)
            Of the size of the target if `to` is 'source', of the source if
            it is 'target'. Bool, integer or float, in memory or lazy.
        to : {'source', 'target'}
            Whose grid the result lives on.
        fill : float
            Value where that grid shows what is outside of `image`.
        out : array_like, optional
            Where to put the result, such as a memory map or zarr array.

        Returns
        -------
        ndarray
            In the dtype of `image`, with its axis of channels.

        Raises
        ------
        InputError
            If the image is not of that size, or not of real numbers.
        """
        _, grid, shape = self._direction(to)
        displacement, *_ = self._direction(_other(to))
        image, axis = checked_image(image, shape, _other(to))
        expected = [*grid]
        if axis is not None:
            expected.insert(axis, image.shape[axis])
        out = checked_output(out, tuple(expected), image.dtype)
        warp_bilinear(
            Pixels.of(image, axis),
            shape,
            displacement,
            out,
            channel_axis=axis,
            fill=fill,
        )
        return out

    def warp_points(
        self, points: npt.ArrayLike, *, to: Side = 'target'
    ) -> npt.NDArray[np.float64]:
        """Where points of one image lie in the other.

        Parameters
        ----------
        points : array_like of float, shape (N, 2)
            Row and column in pixels, of the source if `to` is 'target'.
            Whole numbers are pixel centers.
        to : {'source', 'target'}
            The image they are looked for in.

        Returns
        -------
        ndarray of float64, shape (N, 2)
            Row and column in pixels of that image, or beyond it.

        Raises
        ------
        InputError
            If the points are not finite numbers of that shape.
        """
        displacement, shape, from_shape = self._direction(to)
        start = (checked_points(points) + 0.5).T / np.array(from_shape)[
            :, None
        ]
        end = start + sample_field(displacement, start)
        return np.ascontiguousarray(
            (end * np.array(shape)[:, None] - 0.5).T, np.float64
        )

    def with_landmarks(
        self,
        source_points: npt.ArrayLike,
        target_points: npt.ArrayLike,
        *,
        guides: tuple[Any, Any] | None = None,
    ) -> Correspondence:
        """Bend both fields so that they meet pairs of points.

        A pair moves its surroundings with it, less and less with the
        distance, and never folds the field. Three or more pairs that
        contradict the fields strongly replace them by the affine motion
        that they agree on, wherever the fields do not agree with it.

        Parameters
        ----------
        source_points, target_points : array_like of float, shape (K, 2)
            Row and column in pixels of points in the source, and where they
            lie in the target.
        guides : tuple of array_like, optional
            Source and target as images, ``(H, W)`` or ``(H, W, C)`` floats
            in [0, 1] of any size. A correction then follows the object that
            its pair lies on, and stops at edges of the picture.

        Returns
        -------
        Correspondence
            With the pairs in its metadata (`landmarks`), and for each of
            them whether it is met: one that contradicts its neighbors, so
            that the field would fold, is not. Labels and images that this
            one was given are not carried anew.

        Raises
        ------
        InputError
            If there are not as many points of both images, or none.
        """
        ends = [
            checked_points(source_points),
            checked_points(target_points),
        ]
        if len(ends[0]) != len(ends[1]) or not len(ends[0]):
            raise InputError(
                'landmarks must be pairs: got '
                f'{len(ends[0])} points of the source and {len(ends[1])} of '
                'the target'
            )
        start, end = (
            (points + 0.5) / np.array(shape)
            for points, shape in zip(
                ends, (self.source_shape, self.target_shape), strict=True
            )
        )
        pictures = [
            None if guides is None else _at_cells(guide, cells.shape[:2])
            for guide, cells in zip(
                guides or (None, None),
                (self.forward, self.backward),
                strict=True,
            )
        ]
        there = bend_field(
            self.forward,
            self.forward_confidence,
            start,
            end,
            guide=pictures[0],
        )
        met = there.met
        back = bend_field(
            self.backward,
            self.backward_confidence,
            end[met],
            start[met],
            guide=pictures[1],
            restart=there.restarted,
        )
        evidence = self.evidence
        if evidence is not None:
            evidence = follow_field(evidence, self.backward, back.field)
        trust = [
            np.maximum(confidence, bent.near)
            for confidence, bent in (
                (self.forward_confidence, there),
                (self.backward_confidence, back),
            )
        ]
        about = {
            'source': np.round(ends[0], 3).tolist(),
            'target': np.round(ends[1], 3).tolist(),
            'met': met.tolist(),
            'restarted': there.restarted,
        }
        return replace(
            self,
            forward=there.field,
            backward=back.field,
            forward_confidence=trust[0],
            backward_confidence=trust[1],
            evidence=evidence,
            transferred=None,
            warped_labels=None,
            metadata={**self.metadata, 'landmarks': about},
        )

    def inverse(self) -> Correspondence:
        """The same correspondence with source and target swapped.

        Returns
        -------
        Correspondence
            From the target to the source. Both directions were found by the
            match, so nothing is computed; votes, warped labels and the
            transferred image belong to one direction and are left out.
        """
        inverted = not self.metadata.get('inverse', False)
        return Correspondence(
            forward=self.backward,
            backward=self.forward,
            forward_confidence=self.backward_confidence,
            backward_confidence=self.forward_confidence,
            source_shape=self.target_shape,
            target_shape=self.source_shape,
            metadata={**self.metadata, 'inverse': inverted},
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to one file.

        Parameters
        ----------
        path : path-like
            By custom it ends in ``.npz``, and numpy can read it. It appears
            whole or not at all.

        Returns
        -------
        Path
            Where the file was written.

        Raises
        ------
        InputError
            If it cannot be written, or JSON cannot hold the metadata.
        """
        return archive.write(
            path,
            {
                'source_shape': list(self.source_shape),
                'target_shape': list(self.target_shape),
                'metadata': self.metadata,
            },
            {
                name: value
                for name in ARRAYS
                if (value := getattr(self, name)) is not None
            }
            | {
                f'{EVIDENCE}{name}': getattr(self.evidence, name)
                for name in EVIDENCE_PARTS
                if self.evidence is not None
            },
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Correspondence:
        """Read a file that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file. It is trusted with nothing: no code in it is run, and
            no more memory taken than the file is large.

        Returns
        -------
        Correspondence
            The same as was saved.

        Raises
        ------
        InputError
            If it is not such a file, or damaged.
        """
        header, arrays = archive.read(
            path,
            needed=ARRAYS[:4],
            allowed=(
                *ARRAYS[4:],
                *(f'{EVIDENCE}{name}' for name in EVIDENCE_PARTS),
                'votes',
            ),
        )
        # Files of the first version hold votes, which nothing uses.
        arrays.pop('votes', None)
        parts = {
            name: arrays.pop(f'{EVIDENCE}{name}')
            for name in EVIDENCE_PARTS
            if f'{EVIDENCE}{name}' in arrays
        }
        try:
            if parts and len(parts) < len(EVIDENCE_PARTS):
                raise InputError('its evidence is not complete')
            return cls(
                **arrays,
                evidence=Evidence(**parts) if parts else None,
                source_shape=header.get('source_shape'),  # type: ignore[arg-type]
                target_shape=header.get('target_shape'),  # type: ignore[arg-type]
                metadata=header.get('metadata'),  # type: ignore[arg-type]
            )
        except InputError as error:
            raise InputError(f'{path} is damaged: {error}') from None

    def _direction(
        self, to: Side
    ) -> tuple[FloatArray, tuple[int, int], tuple[int, int]]:
        """Field that leads to an image, that image's shape, the other's."""
        if to == 'target':
            return self.forward, self.target_shape, self.source_shape
        if to == 'source':
            return self.backward, self.source_shape, self.target_shape
        raise InputError(f"to must be 'source' or 'target', got {to!r}")

    def _error(
        self, grid: tuple[int, int], rows: slice
    ) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Forward-backward error in source pixels, and which stay inside."""
        error, inside = round_trip(self.forward, self.backward, grid, rows)
        sides = np.array(self.source_shape)[:, None, None]
        return np.hypot(*(error * sides)).astype(np.float32), inside


#: What a file holds; the first four always.
ARRAYS = (
    'forward',
    'backward',
    'forward_confidence',
    'backward_confidence',
    'transferred',
    'warped_labels',
)

#: Members of a file that hold the evidence: this and the name of each part.
EVIDENCE = 'evidence_'
EVIDENCE_PARTS = tuple(part.name for part in fields(Evidence))


def _at_cells(image: Any, cells: tuple[int, ...]) -> FloatArray:
    """A picture at the cells of a field, (h, w, channels)."""
    picture = np.asarray(image, np.float32)
    if picture.ndim == 2:
        picture = picture[..., None]
    small: FloatArray = resized(picture, cells[0], cells[1])
    return small


def _other(side: Side) -> Side:
    """Name of the other side."""
    return 'source' if side == 'target' else 'target'
