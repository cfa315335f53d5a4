"""Matches of which it is known whether they are right.

The confidence is asked of the field, of candidates for its cells, and of the
field that follows them, so it is fitted to matches of all three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_samnet.errors import InputError
from napari_samnet.options import DEFAULTS
from napari_samnet.samnet.candidates import candidate_field, reconsidered
from napari_samnet.samnet.confidence import MatchConfidence
from napari_samnet.samnet.config import STRIDE
from napari_samnet.samnet.features import Features, VGGFeatures
from napari_samnet.samnet.field import flow_of, resize_field
from napari_samnet.samnet.match_evidence import PairSimilarities
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.recurrence import Iteration, Recurrence
from napari_samnet.training.data import to_tensor
from napari_samnet.training.known_pairs import KnownPair

#: How much a match counts, by the kind of its pair; 1 where it is not named.
KIND_WEIGHTS = {
    'two kinds': 0.5,
    'moving object': 0.5,
    'one scene': 0.5,
    'absent': 0.15,
}

#: Places of a pair that count in full; those of pairs with more share that.
PLACES = 12


class Matches(NamedTuple):
    """Matches whose truth is known."""

    #: ``(N, len(MATCH_EVIDENCE))``, of N matches.
    evidence: Tensor
    #: ``(N,)``, 1 where the match is right and 0 where it is wrong.
    right: Tensor
    #: ``(N,)``, how much each counts.
    weight: Tensor
    #: ``kinds``, ``groups``: (N,): what their pairs are and show.
    kinds: NDArray[np.str_]
    groups: NDArray[np.str_]
    #: (N,): number of their pair.
    pairs: NDArray[np.int64]
    #: (N,): whether it is what a user gets, not what it was made of.
    final: NDArray[np.bool_]

    def part(self, chosen: NDArray[np.bool_]) -> Matches:
        """Some of them."""
        at = torch.from_numpy(np.flatnonzero(chosen))
        return Matches(
            self.evidence[at],
            self.right[at],
            self.weight[at],
            self.kinds[chosen],
            self.groups[chosen],
            self.pairs[chosen],
            self.final[chosen],
        )


class _Matched(NamedTuple):
    """A pair whose truth is known, and how `match` leads through it."""

    #: Without its images.
    pair: KnownPair
    #: ``(2, C, H, W)``, what its similarities are of.
    features: Tensor
    state: Iteration


@torch.inference_mode()
def collect_matches(
    model: SAMNet,
    features: VGGFeatures,
    pairs: Iterable[KnownPair],
    fit: Callable[[Matches], MatchConfidence],
) -> Matches:
    """Match pairs whose truth is known, as `match` does by default.

    ``fit``: fits a confidence to fields and candidates, which says what
    fields come of them.
    Raises InputError if there are no pairs.
    """
    matched = [_matched(model, features, pair) for pair in pairs]
    if not matched:
        raise InputError(
            'the confidence needs pairs to be fitted to, got none; name a '
            'file with keypoints'
        )
    first: list[Matches] = []
    for number, one in enumerate(matched):
        similarities = PairSimilarities.of(one.features.float())
        field = resize_field(one.state.field, *similarities.size)
        first.append(_judged(one, number, similarities, field))
        candidates = candidate_field(similarities, field)
        first.append(
            _judged(one, number, similarities, candidates, final=False)
        )
    with torch.inference_mode(False):
        confidence = fit(_joined(first))
    for number, one in enumerate(matched):
        similarities = PairSimilarities.of(one.features.float())
        better = reconsidered(
            confidence,
            similarities,
            one.state,
            confidence.of_field(similarities, one.state.field, one.state),
            alikeness=DEFAULTS.alikeness,
        )
        if better is not None:
            field = resize_field(better.state.field, *similarities.size)
            first[2 * number].final[:] = False
            first.append(_judged(one, number, similarities, field))
    return _joined(first)


def _joined(parts: Sequence[Matches]) -> Matches:
    return Matches(
        torch.cat([part.evidence for part in parts]),
        torch.cat([part.right for part in parts]),
        torch.cat([part.weight for part in parts]),
        np.concatenate([part.kinds for part in parts]),
        np.concatenate([part.groups for part in parts]),
        np.concatenate([part.pairs for part in parts]),
        np.concatenate([part.final for part in parts]),
    )


def _matched(
    model: SAMNet, features: VGGFeatures, pair: KnownPair
) -> _Matched:
    seen = [
        features(to_tensor([image]), skips=False, unprojected=True)
        for image in (pair.source, pair.target)
    ]
    maps = torch.cat([one.matching.float() for one in seen])
    none = maps.new_zeros(2, 0, 1, 1)
    options = Recurrence(
        window=model.config.window, tolerance=DEFAULTS.tolerance / STRIDE
    )
    last = None
    for state in model.iterate(
        Features(maps, none, ()), Features(maps.flip(0), none, ()), options
    ):
        last = state
    assert last is not None
    channels = [one.unprojected for one in seen if one.unprojected is not None]
    taught = features.taught_feature(torch.cat(channels)) if channels else None
    nothing = np.zeros((0, 0, 3), np.float32)
    return _Matched(
        pair._replace(source=nothing, target=nothing),
        (maps if taught is None else taught).half(),
        last,
    )


def _judged(
    one: _Matched,
    number: int,
    similarities: PairSimilarities,
    field: Tensor,
    *,
    final: bool = True,
) -> Matches:
    """Evidence of a field at the places of a pair, and its truth.

    ``field``: in the cells of the similarities.
    """
    pair, state = one.pair, one.state
    assert state.clues is not None
    answers = similarities.evidence(field, state.clues, state.alpha)
    flow = flow_of(field)
    # Cells of the similarities per cell of the features.
    finer = np.array(similarities.size[::-1]) / one.features.shape[:-3:-1]
    known = np.isfinite(pair.goals).all(1)
    ways = [(0, pair.places, pair.goals, pair.scale)]
    if known.any():
        ways.append((1, pair.goals[known], pair.places[known], pair.back))
    evidence, right, weight = [], [], []
    for way, places, goals, scale in ways:
        start, end = ((at + 0.5) * finer - 0.5 for at in (places, goals))
        # Of single cells: between candidates there is nothing to average.
        cells = _nearest_cells(start, similarities.size)
        moved = start + _of_cells(flow[way], cells).numpy()
        with np.errstate(invalid='ignore'):
            error = np.linalg.norm((moved - end) / finer * scale, axis=1)
        evidence.append(_of_cells(answers[way], cells))
        right.append(torch.from_numpy(error <= 1).float())
        share = min(1.0, PLACES / len(places))
        share *= KIND_WEIGHTS.get(pair.kind, 1.0)
        weight.append(torch.full((len(places),), share))
    count = sum(map(len, evidence))
    return Matches(
        torch.cat(evidence),
        torch.cat(right),
        torch.cat(weight),
        np.full(count, pair.kind),
        np.full(count, pair.group),
        np.full(count, number),
        np.full(count, final),
    )


def _nearest_cells(
    places: NDArray[np.float64], size: Sequence[int]
) -> NDArray[np.int64]:
    """Rows and columns ``(2, K)`` of the cells that hold (x, y)."""
    cells = np.round(places[:, ::-1]).astype(np.int64).T
    return cells.clip(0, np.array(size)[:, None] - 1)


def _of_cells(maps: Tensor, cells: NDArray[np.int64]) -> Tensor:
    """Values ``(K, C)`` of a map ``(C, h, w)`` in cells."""
    rows, columns = torch.from_numpy(cells)
    return maps[:, rows, columns].T
