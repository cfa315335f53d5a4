"""Several annotated images: which to ask, and what they say together.

A reference has a say only on the ids that it contains: where it lacks one,
its background is no evidence against that id. References of one set of ids
are asked together. Where sets differ, the share of an id is the mean over the
sets that contain it, those that look more alike there counting more. The
background has what is left of 1, and where two ids claim one place, the
larger share wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.types import FloatArray, Labels
from napari_samnet.errors import InputError
from napari_samnet.labels.evidence import find_evidence, label_shares
from napari_samnet.labels.pieces import widest_gaps
from napari_samnet.labels.similar import (
    CellFeatures,
    kept_cells,
    most_similar,
    pooled,
)
from napari_samnet.labels.tables import LabelTable, resolved_labels

#: References that are asked for each target, unless another number is given.
BEST = 5

#: Difference of cosine similarity at which one set of references counts e
#: times as much as another.
SET_TEMPERATURE = 0.1


@dataclass(frozen=True, eq=False)
class AnnotatedFeatures:
    """An annotated image as far as carrying its labels needs it."""

    #: Those of its cells.
    features: CellFeatures
    #: (n, m): even samples of its labels, several per cell.
    samples: Labels

    @property
    def mean(self) -> FloatArray:
        """Mean feature of the image, (C,)."""
        return mean_feature(self.features)


def mean_feature(features: CellFeatures) -> FloatArray:
    """What an image looks like on the whole.

    ``features``: those of its cells. Returns: (C,): mean of the likenesses.
    """
    return np.asarray(features.likeness, np.float32).mean((0, 1))


def nearest_references(
    target: FloatArray, references: Sequence[FloatArray], count: int
) -> list[int]:
    """Choose the references whose mean feature is nearest.

    ``target`` (C,): mean feature of the image that labels are wanted for.
    ``references`` (C,): mean features of the annotated images.
    ``count``: how many to choose at most.
    """
    distances = [float(np.linalg.norm(other - target)) for other in references]
    return [int(k) for k in np.argsort(distances, kind='stable')[:count]]


def propose_next(
    targets: Sequence[FloatArray],
    references: Sequence[FloatArray],
    qualities: Sequence[float],
) -> int | None:
    """Propose the image whose annotation would help most.

    ``targets`` (C,): mean features of the images that are not annotated.
    ``references`` (C,): mean features of the annotated ones.
    Returns: index of a target: the one that most brings targets of low quality
    nearer to something annotated. None without targets.
    """
    if not targets:
        return None
    those = np.stack(targets)
    known = np.stack(references)
    away = np.linalg.norm(those[:, None] - known[None], axis=-1).min(1)
    among = np.linalg.norm(those[:, None] - those[None], axis=-1)
    need = 1 - np.nan_to_num(np.asarray(qualities, float), nan=0.0)
    gain = need[:, None] * np.maximum(0, away[:, None] - among)
    return int(gain.sum(0).argmax())


def common_dtype(kinds: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """Number type that holds the ids of all references.

    ``kinds``: types of their labels, bool or integer. Returns: bool or
    integer. Raises InputError if no integer type holds them all.
    """
    together = np.result_type(*kinds)
    if together.kind == 'f':
        raise InputError(
            'the labels of the references must fit into one integer type, '
            f'got {", ".join(sorted({str(kind) for kind in kinds}))}; convert '
            'them to int64 or to uint64'
        )
    return together


def table_of_references(
    target: CellFeatures,
    references: Sequence[AnnotatedFeatures],
    kept: npt.NDArray[np.bool_] | None = None,
) -> LabelTable:
    """What annotated images say of the labels of another one.

    ``target``: features of the image that labels are wanted for.
    ``kept`` (H, W): pixels of that image that can have labels; None for all.
    """
    table = _table(target, references)
    if kept is None:
        return table
    from scipy import sparse

    counts = kept_cells(kept, table.cells).ravel()
    shares = sparse.diags_array(counts.astype(np.float32)) @ table.shares
    left_out = sparse.csr_array(
        np.outer(~counts, table.background).astype(np.float32)
    )
    return replace(table, shares=shares + left_out)


def _table(
    target: CellFeatures, references: Sequence[AnnotatedFeatures]
) -> LabelTable:
    """What annotated images say of all cells of another one."""
    from scipy import sparse

    values = np.unique(
        np.concatenate([np.unique(r.samples) for r in references])
    )
    background = values == 0
    sets: dict[tuple[int, ...], list[Any]] = {}
    all_shares = []
    gaps = np.zeros(len(values), np.float32)
    for reference in references:
        places = np.searchsorted(values, reference.samples)
        ids = np.unique(places[reference.samples != 0]).tolist()
        small = pooled(reference.features.channels)
        shares = label_shares(places, len(values), small.shape[:2])
        all_shares.append(shares)
        likeness = reference.features.likeness
        sets.setdefault(tuple(ids), []).append((small, shares, likeness))
        gaps = np.maximum(gaps, widest_gaps(places, len(values)))
    cells = pooled(target.channels)
    parts = []
    for key, members in sets.items():
        evidence = find_evidence(
            cells,
            [small for small, _, _ in members],
            similarity=most_similar(
                target.likeness, [likeness for _, _, likeness in members]
            ),
        )
        shares = sparse.vstack([part for _, part, _ in members]).tocsr()
        parts.append(
            (
                np.isin(np.arange(len(values)), key),
                evidence.matrix() @ shares,
                evidence.similarity.astype(np.float32),
            )
        )
    together = sparse.vstack(all_shares).tocsr()
    resolved = resolved_labels(together, background)
    shape = cells.shape[:2]
    if len(parts) == 1:
        _, evidence_shares, similarity = parts[0]
        return LabelTable(
            values, resolved, evidence_shares, shape, similarity, gaps
        )
    similarity = np.max([part[2] for part in parts], axis=0)
    weights = [
        np.exp((part[2].ravel() - similarity.ravel()) / SET_TEMPERATURE)
        for part in parts
    ]
    total = sum(
        weight[:, None] * part[0]
        for weight, part in zip(weights, parts, strict=True)
    )
    merged = np.zeros((len(similarity.ravel()), len(values)), np.float32)
    for weight, (ids_here, shares_here, _) in zip(weights, parts, strict=True):
        merged += (weight[:, None] * ids_here) * shares_here.toarray()
    merged /= np.maximum(total, np.float32(1e-9))
    if background.any():
        merged[:, background] = 0
        left = 1 - merged.sum(1)
        merged[:, background] = np.maximum(left, 0)[:, None]
    return LabelTable(
        values,
        resolved,
        sparse.csr_array(merged),
        shape,
        similarity,
        gaps,
    )
