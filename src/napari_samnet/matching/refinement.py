"""Fields on a finer grid, with more of the pixels of large images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.resize import resized
from napari_samnet.arrays.types import FloatArray
from napari_samnet.labels.evidence import Evidence
from napari_samnet.matching.fine import refine
from napari_samnet.matching.missed_motions import (
    Missed,
    at_cells,
    nothing_missed,
)
from napari_samnet.runtime.side_by_side import Later, PutOff
from napari_samnet.warping.fields import full_map

#: Share of the nearest cells that must take another field for a place to.
EVEN = 0.5

#: Pixels of the longer side per pixel at working size from which the field
#: is refined at twice of it.
WORTH_TWICE = 1.5


class Exact(NamedTuple):
    """Fields in normalized units, refined where the pixels allow for it."""

    forward: FloatArray
    backward: FloatArray
    #: Working size and the share of cells that were refined; None where the
    #: fields are as they came.
    about: dict[str, Any] | None = None
    #: How far each place of the target is confirmed, if that was asked for.
    confirmed: FloatArray | None = None

    def confirmed_by(self, small: Sequence[FloatArray]) -> Exact:
        """The same, with what the pixels confirm, if it was refined.

        ``small`` (n, n, 3): source and target at working size.
        """
        if self.about is None:
            return self
        # Filters that only this needs take long to import.
        from napari_samnet.matching.confirmation import confirmed

        places = confirmed(small[0], small[1], self.forward, self.backward)
        return self._replace(confirmed=places)

    def at_cells(self, size: tuple[int, int]) -> FloatArray:
        """Both fields at the centers of cells.

        ``size``: rows and columns of the cells. Returns: (2, 2, rows,
        columns): of forward and backward, displacement in (x, y) cells.
        """
        return np.stack([at_cells(one, size) for one in self[:2]])

    def confirmed_shares(self, shape: tuple[int, int]) -> FloatArray:
        """How far the pixels confirm the matches of cells of both images.

        ``shape``: rows and columns of the cells. Returns: (2, rows, columns):
        from 0 to 1; 0 where that was not asked.
        """
        from napari_samnet.matching.confirmation import confirmed_shares

        if self.confirmed is None:
            return np.zeros((2, *shape), np.float32)
        return confirmed_shares(
            self.confirmed, self.forward, self.backward, shape
        )

    def mixed_with(
        self, fields: Sequence[FloatArray], taken: NDArray[np.bool_]
    ) -> Exact:
        """The same with other fields in some cells.

        ``fields`` (h, w, 2): displacements forward and backward, in normalized
        units. ``taken`` (2, rows, columns): cells of both images that take
        them.
        """
        mixed = []
        for mine, other, cells in zip(self[:2], fields, taken, strict=True):
            size = mine.shape[:2]
            share = cells[..., None].astype(np.float32)
            near = resized(share, *size)
            # Of those cells alone, so that no two motions are blended.
            there = resized(share * resized(other, *cells.shape), *size)
            there /= np.maximum(near, EVEN)
            mixed.append(np.where(near >= EVEN, there, mine))
        return self._replace(forward=mixed[0], backward=mixed[1])

    def on_grid(self, confidence: FloatArray) -> FloatArray:
        """Confidences ``(..., h, w)`` on the grid of the fields."""
        if self.about is None:
            return confidence
        grid = self.forward.shape[:2]
        maps = confidence.reshape(-1, *confidence.shape[-2:])
        finer = np.stack([full_map(one, grid) for one in maps])
        return finer.reshape(*confidence.shape[:-2], *grid)

    def known_to(
        self, confidence: FloatArray, evidence: Evidence | None
    ) -> tuple[FloatArray, Evidence | None]:
        """Confidences and evidence that know of the refined fields.

        ``confidence`` (K, 2, h, w): of both fields; the last of several kinds
        is raised where the pixels confirm.
        Returns: the confidences on the grid of the fields, and the evidence.
        """
        confidence = self.on_grid(confidence)
        if self.confirmed is None or evidence is None:
            return confidence, evidence
        from napari_samnet.matching.confirmation import raised_confidence

        if len(confidence) > 1:
            confidence[-1] = raised_confidence(
                confidence[-1], self.confirmed, self.forward, self.backward
            )
        return confidence, evidence.beside_field(self.confirmed)


def exact_fields(
    small: Sequence[FloatArray],
    fields: tuple[FloatArray, FloatArray],
    *,
    specimen: bool,
    device: str,
    longest: int,
    at_size: Callable[[str, int], FloatArray],
    later: Later = PutOff,
    missed: Missed = nothing_missed,
) -> Exact:
    """Refine both fields, twice where the images have many more pixels.

    The second time the images are looked at with twice the working size;
    never with all of their pixels, so that time and memory are bounded.

    ``small`` (n, n, 3): source and target at working size.
    ``fields`` (h, w, 2): displacements forward and backward, in normalized
    units.
    ``specimen``: whether both images are known to show one scene or specimen.
    ``device``: where the match ran. Metal does not have all the operations, so
    that the CPU does them there.
    ``longest``: longest side of the two images in pixels.
    ``at_size``: gives 'source' or 'target' at a working size.
    ``later``: how a part is done beside the rest.
    ``missed``: finds motions of parts from which the fields lead away.
    Returns: the fields as they came where they cannot be refined; nothing is
    confirmed yet.
    """
    device = device if device.startswith('cuda') else 'cpu'
    refined = refine(
        small[0],
        small[1],
        *fields,
        specimen=specimen,
        device=device,
        later=later,
        missed=missed,
    )
    if refined is None:
        return Exact(*fields)
    side = small[0].shape[0]
    if longest >= WORTH_TWICE * side:
        again = refine(
            at_size('source', 2 * side),
            at_size('target', 2 * side),
            refined.forward,
            refined.backward,
            specimen=specimen,
            again=True,
            device=device,
            later=later,
        )
        if again is not None:
            refined, side = again, 2 * side
    share = round(float(refined.believed.mean()), 3)
    return Exact(
        refined.forward, refined.backward, {'side': side, 'share': share}
    )
