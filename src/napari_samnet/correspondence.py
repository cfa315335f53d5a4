"""What a match found: where each pixel of an image lies in the other.

A :class:`Correspondence` holds two small fields and answers at the size of
the images: flows, warped labels, images and points, and how well the two
directions agree. It needs no network, and can be saved and loaded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.brief import brief
from napari_samnet.arrays.checks import (
    as_array,
    check_flag,
    check_labels,
    check_share,
    check_transferred,
    checked_output,
)
from napari_samnet.errors import InputError
from napari_samnet.images.plane import Plane
from napari_samnet.io import npz
from napari_samnet.labels.bent import follow_field
from napari_samnet.labels.estimate import label_quality
from napari_samnet.labels.evidence import Evidence
from napari_samnet.labels.kernel import label_kernel
from napari_samnet.labels.quality import LabelQuality
from napari_samnet.labels.tables import LabelField
from napari_samnet.warping.field_pair import FieldPair
from napari_samnet.warping.landmarks import bend_both
from napari_samnet.warping.warp import Destination, SourceArray, warp


@dataclass(frozen=True, eq=False, kw_only=True)
class Correspondence(FieldPair):
    """The correspondence of two images, in both directions.

    Fields are given at the centers of a grid of cells that covers the image
    they start from: cell `k` of `n` has its center at ``(k + 0.5) / n`` of
    the side. Between centers they are bilinear, beyond the outermost ones
    their slope goes on, so that an affine motion is reproduced exactly. Where
    two motions meet, a place follows the nearer of the two samples instead,
    see :mod:`napari_samnet.warping.boundaries`.

    Parameters
    ----------
    forward : ndarray of float32, shape (h, w, 2)
        Displacement (row, column) from source to target in normalized units:
        1 is the full side, and a point at `u` of the source's side lies at
        ``u + forward`` of the target's.
    backward : ndarray of float32, shape (h2, w2, 2)
        Displacement from target to source, at the target's cells.
    forward_cell_confidence : ndarray of float32, shape (h, w)
        Confidence of `forward`, from 0 to 1, at the source's cells.
    backward_cell_confidence : ndarray of float32, shape (h2, w2)
        Confidence of `backward`, at the target's cells.
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

    __repr__ = brief

    evidence: Evidence | None = None
    transferred: npt.NDArray[Any] | None = None
    warped_labels: npt.NDArray[Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
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
        carried = self.warped_labels
        if carried is not None:
            check_labels('warped_labels', carried, self.target_shape)

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
            From 0 to 1: pixels that are matched with less confidence get 0.
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
            the image is not of the target's, or the confidence is not from 0
            to 1.
        """
        check_share('min_confidence', min_confidence)
        labels = as_array(labels, 'labels')
        check_labels('labels', labels, self.source_shape)
        out = checked_output(out, self.target_shape, labels.dtype)
        pixels = SourceArray.of(labels)
        kernel = label_kernel(
            self.label_field(evidence=evidence),
            pixels,
            min_confidence=min_confidence,
            image=self._as_target(image, channel_axis),
        )
        warp(
            pixels, self.source_shape, self.backward, Destination(out), kernel
        )
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
        return label_quality(self.label_field(), SourceArray.of(labels))

    def label_field(self, *, evidence: bool = True) -> LabelField:
        """What carries labels of the source to the target's grid.

        Parameters
        ----------
        evidence : bool
            Whether the evidence is among it.

        Returns
        -------
        LabelField
            Fields, shapes and evidence as
            :func:`napari_samnet.labels.kernel.label_kernel` takes them.
        """
        check_flag('evidence', evidence)
        return LabelField(
            self.source_shape,
            self.target_shape,
            self.backward,
            self.backward_cell_confidence,
            self.evidence if evidence else None,
        )

    def _as_target(self, image: Any, channel_axis: int | None) -> Plane | None:
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
        contradict the fields strongly replace them by their own motion,
        wherever the fields do not agree with it.

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
        there, back, about = bend_both(
            self, source_points, target_points, guides=guides
        )
        evidence = self.evidence
        if evidence is not None:
            evidence = follow_field(evidence, self.backward, back.field)
        near_forward = np.maximum(self.forward_cell_confidence, there.near)
        near_backward = np.maximum(self.backward_cell_confidence, back.near)
        return replace(
            self,
            forward=there.field,
            backward=back.field,
            forward_cell_confidence=near_forward,
            backward_cell_confidence=near_backward,
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
        about = {'inverse': not self.metadata.get('inverse', False)}
        return Correspondence(
            forward=self.backward,
            backward=self.forward,
            forward_cell_confidence=self.backward_cell_confidence,
            backward_cell_confidence=self.forward_cell_confidence,
            source_shape=self.target_shape,
            target_shape=self.source_shape,
            metadata=self.metadata | about,
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to one file.

        Parameters
        ----------
        path : path-like
            Of ending ``.npz``; whole or not at all. numpy can read it.

        Returns
        -------
        Path
            Where the file was written.

        Raises
        ------
        InputError
            If it cannot be written, or JSON cannot hold the metadata.
        """
        arrays = {key: getattr(self, name) for key, name in MEMBERS.items()}
        for name in EVIDENCE_PARTS:
            arrays[EVIDENCE + name] = getattr(self.evidence, name, None)
        return npz.write(
            path,
            {name: getattr(self, name) for name in HEADER},
            {key: value for key, value in arrays.items() if value is not None},
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Correspondence:
        """Read a file that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file. Safe on untrusted input: no code in it is run, and no
            more memory taken than the file is large.

        Returns
        -------
        Correspondence
            The same as was saved.

        Raises
        ------
        InputError
            If it is no such file, or damaged.
        """
        known = (*MEMBERS, *(EVIDENCE + name for name in EVIDENCE_PARTS))
        header, arrays = npz.read(path, needed=known[:4], allowed=known[4:])
        parts = {
            name: arrays.pop(EVIDENCE + name)
            for name in EVIDENCE_PARTS
            if EVIDENCE + name in arrays
        }
        given: dict[str, Any] = {name: header.get(name) for name in HEADER}
        given |= {MEMBERS[key]: values for key, values in arrays.items()}
        try:
            return cls(**given, evidence=Evidence(**parts) if parts else None)
        except InputError as error:
            raise InputError(f'{path} is damaged: {error}') from None
        except TypeError:
            raise InputError(
                f'{path} is damaged: its evidence is not complete'
            ) from None


#: What a file says in text.
HEADER = ('source_shape', 'target_shape', 'metadata')

#: The arrays of a file; the first four always.
ARRAYS = (
    'forward',
    'backward',
    'forward_cell_confidence',
    'backward_cell_confidence',
    'transferred',
    'warped_labels',
)

#: These by their names in a file.
MEMBERS = {name.replace('_cell', ''): name for name in ARRAYS}

#: Members of a file that hold the evidence: this and the name of each part.
EVIDENCE = 'evidence_'
EVIDENCE_PARTS = tuple(part.name for part in fields(Evidence))
