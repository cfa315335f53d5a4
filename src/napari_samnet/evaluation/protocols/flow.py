"""T5 and IoU of the TSS evaluation kit: dense flow of alike objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from napari_samnet.correspondence import Correspondence
from napari_samnet.datasets.metrics import flow_accuracy, iou
from napari_samnet.datasets.pair_lists import FlowPair
from napari_samnet.datasets.reading import read_flow, read_image, read_labels
from napari_samnet.errors import InputError
from napari_samnet.evaluation import draw
from napari_samnet.evaluation.interfaces import (
    Answer,
    Pair,
    Panel,
    Protocol,
    Scores,
)

#: Percent of the longer side of the other image.
THRESHOLD = 5

#: Pixels of forward-backward error that still count as the same object.
CONSISTENCY = 20

GREEN, RED = (0.1, 0.8, 0.2), (0.9, 0.1, 0.1)


@dataclass(frozen=True)
class _Truth:
    flow: NDArray[np.float32]
    valid: NDArray[np.bool_]
    mask: NDArray[np.bool_] | None


def consistent(
    flow: NDArray[np.floating], back: NDArray[np.floating], limit: float
) -> NDArray[np.bool_]:
    """Pixels that come back to themselves through the other flow.

    ``flow``, ``back``: flows of the two images, rows and columns in pixels.
    ``limit``: error in pixels that is still allowed.
    Returns: False where the flow leaves the other image.
    """
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]]
    at = np.stack([rows, columns]) + np.moveaxis(flow, -1, 0)
    error = np.stack(
        [
            map_coordinates(back[..., axis], at, order=1, cval=np.inf)
            + flow[..., axis]
            for axis in range(2)
        ]
    )
    return np.asarray(np.hypot(*error) < limit)


class Flow(Protocol):
    """Share of foreground pixels within 5 % of the other image's side.

    Both directions of every pair are scored and averaged, then pairs within
    their group, then the groups. `iou` compares the given masks with the
    pixels whose forward-backward error is below 20 px, unless the method
    segments.
    """

    name = 'flow'
    ranking = 't5'

    def __init__(self, pairs: Sequence[FlowPair]) -> None:
        self._pairs = pairs
        self._flipped = {pair.name for pair in pairs if pair.flipped}

    def __len__(self) -> int:
        return len(self._pairs)

    def settings(self) -> dict[str, Any]:
        return {
            'direction': 'both, averaged',
            't5': 'mean of the means of the groups, flipped pairs included '
            'as they are',
        }

    def load(self, index: int) -> Pair:
        pair = self._pairs[index]
        images, truth = [], []
        for side in (1, 2):
            image = read_image(_file(pair.folder, f'image{side}', 'png'))
            flow, valid = read_flow(
                _file(pair.folder, f'flow{side}', 'flo', 'npz')
            )
            if flow.shape[:2] != image.shape[:2]:
                raise InputError(
                    f'{pair.folder}: flow{side} must be as large as '
                    f'image{side}, {image.shape[1]}x{image.shape[0]}, got '
                    f'{flow.shape[1]}x{flow.shape[0]}'
                )
            mask = pair.folder / f'mask{side}.png'
            images.append(image)
            truth.append(
                _Truth(
                    flow,
                    valid,
                    read_labels(mask) > 0 if mask.is_file() else None,
                )
            )
        return Pair(pair.name, pair.group, images[0], images[1], tuple(truth))

    def score(self, pair: Pair, answer: Answer) -> Scores:
        flows = _flows(answer.correspondence)
        masks = answer.masks or (
            consistent(flows[0], flows[1], CONSISTENCY),
            consistent(flows[1], flows[0], CONSISTENCY),
        )
        others = (pair.target, pair.source)
        accuracy, overlap = [], []
        for flow, mask, truth, other in zip(
            flows, masks, pair.truth, others, strict=True
        ):
            threshold = THRESHOLD / 100 * max(other.shape[:2])
            accuracy.append(
                flow_accuracy(flow, truth.flow, truth.valid, threshold)
            )
            if truth.mask is not None:
                overlap.append(iou(mask, truth.mask))
        scores = {'t5': float(np.mean(accuracy))}
        if overlap:
            scores['iou'] = float(np.mean(overlap))
        if pair.name not in self._flipped:
            scores['t5_without_flips'] = scores['t5']
        return scores

    def summary(
        self, scores: Sequence[Scores], groups: Sequence[str]
    ) -> dict[str, Any]:
        result = super().summary(scores, groups)
        members = result.get('groups', {})
        for name in ('t5', 't5_without_flips', 'iou'):
            values = [
                group[name]
                for group in members.values()
                if group.get(name) is not None
            ]
            if values:
                result[name] = round(float(np.mean(values)), 5)
        return result

    def panels(self, pair: Pair, answer: Answer) -> list[Panel]:
        match = answer.correspondence
        truth = pair.truth[0]
        flow = _flows(match)[0]
        threshold = THRESHOLD / 100 * max(pair.target.shape[:2])
        error = np.linalg.norm(flow - truth.flow, axis=-1)
        good = np.where(error <= threshold, 1, 2) * truth.valid
        source, target, warped, back = super().panels(pair, answer)
        verdict = draw.mask(pair.source, good, {1: GREEN, 2: RED})
        return [
            source,
            target,
            ('green within 5 %', verdict),
            warped,
            back,
        ]


def _flows(
    match: Correspondence,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return match.flow, match.backward_flow


def _file(folder: Path, stem: str, *endings: str) -> Path:
    for ending in endings:
        path = folder / f'{stem}.{ending}'
        if path.is_file():
            return path
    raise InputError(
        f'there is no file {folder / stem}.{" or .".join(endings)}'
    )
