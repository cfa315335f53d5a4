"""The planes of a series, read and encoded when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from napari_samnet.arrays.recently_used import RecentlyUsed
from napari_samnet.arrays.types import FloatArray
from napari_samnet.errors import InputError
from napari_samnet.series.closely import region_around, wanted_cells
from napari_samnet.series.encode import EncodedPlane, PlaneEncoder, Region
from napari_samnet.series.label_evidence import Reference, label_evidence
from napari_samnet.series.region import Kept, within

#: Encoded planes held besides the memory.
HELD = 4

#: Share of a cell from which a label was there.
THERE = 0.05


class HeldPlanes:
    """Encoded planes, of which the last few are held.

    ``read``: takes the index of a plane, returns its pixels.
    ``kept``: takes the index, returns the pixels that count, None for all.
    """

    def __init__(
        self,
        read: Callable[[int], Any],
        encoder: PlaneEncoder,
        kept: Kept | None = None,
    ) -> None:
        self._read = read
        self._kept = kept
        self._encoder = encoder
        self._recent: RecentlyUsed[EncodedPlane] = RecentlyUsed(count=HELD)
        self._shape: tuple[int, int] | None = None
        #: The region that was looked at last; None for the whole plane.
        self._region: Region | None = None
        #: A plane that was looked at ahead: its index, the region, and it.
        self._ahead: tuple[int, Region | None, EncodedPlane] | None = None
        self.glances = encoder.glances
        self.device = encoder.place.device

    def __call__(self, index: int) -> EncodedPlane:
        """Encode a plane, or recall it.

        Returns: its features and its pixels. Raises InputError if it has
        another shape than the first one that was read.
        """
        held = self._recent.get(index)
        if held is None:
            plane = self._encoder(self._read(index))
            self._shape = self._shape or plane.shape
            if plane.shape != self._shape:
                raise InputError(
                    f'planes must all have one shape, got {plane.shape} for '
                    f'plane {index} and {self._shape} before: cut or scale '
                    f'them to one size'
                )
            kept = None if self._kept is None else self._kept(index)
            held = within(plane, kept)
            self._recent.put(index, held)
        return held

    def closely(self, index: int) -> EncodedPlane:
        """All of a plane, with all of the network."""
        plane = self(index)
        return within(self._encoder.closely(plane), plane.kept)

    def look_ahead(self, index: int) -> None:
        """Look at a plane, closely where the last one was looked at.

        What goes wrong is raised when the plane is asked for.
        """
        with suppress(Exception):
            looked = self._encoder.closely(self(index), self._region)
            self._ahead = index, self._region, looked

    def decided(
        self,
        index: int,
        plane: EncodedPlane,
        references: Sequence[Reference],
        biases: Sequence[float],
        before: Reference,
    ) -> tuple[EncodedPlane, FloatArray]:
        """Evidence for the labels, by a close look at a part of the plane.

        ``index``: place of the plane in the series.
        ``before``: plane that tells where the labels were.
        Returns: the plane with the cells that were looked at, and the evidence
        on its grid.
        """
        glance = label_evidence(
            plane, references, biases=biases, at_a_glance=True
        )
        if self._encoder.at_once:
            return plane, glance
        shares = before.shares.sum(1).cpu().numpy().reshape(plane.cells)
        known = np.any([r.known for r in references], axis=0)
        wanted = wanted_cells(glance, shares > THERE, known)
        region = None
        if wanted is not None:
            region = region_around(wanted, self._region)
        self._region = region
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[:2] == (index, region):
            looked = ahead[2]
        else:
            looked = self._encoder.closely(plane, region)
        plane = within(looked, plane.kept)
        return plane, label_evidence(
            plane, references, biases=biases, wanted=wanted
        )
