"""Films: the mask of the first frame carried through all frames in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from napari_samnet.datasets.metrics import boundary_f, iou, mean_iou
from napari_samnet.datasets.reading import read_image, read_labels
from napari_samnet.datasets.sequences import Film
from napari_samnet.errors import InputError
from napari_samnet.evaluation import draw
from napari_samnet.evaluation.interfaces import (
    Answer,
    Image,
    Pair,
    Panel,
    Protocol,
    Reference,
    Scores,
)


class _Frames(Sequence[Image]):
    """Frames of a film, read when they are asked for."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Image]: ...
    def __getitem__(self, index: int | slice) -> Image | Sequence[Image]:
        if isinstance(index, slice):
            return _Frames(self._files[index])
        return read_image(self._files[index])


class Series(Protocol):
    """Region similarity J and boundary accuracy F of films, as in DAVIS [1]_.

    `j` is the IoU and `f` the F-measure of the outline, both the mean over
    all frames of a film but the first, then over the films; `j_decay` is the
    mean J of the first quarter of these frames minus that of the last.

    References
    ----------
    .. [1] Perazzi et al. A Benchmark Dataset and Evaluation Methodology for
       Video Object Segmentation. CVPR 2016. :DOI:`10.1109/CVPR.2016.85`
    """

    name = 'series'
    ranking = 'j'

    def __init__(self, films: Sequence[Film]) -> None:
        self._films = films

    def __len__(self) -> int:
        return len(self._films)

    def settings(self) -> dict[str, Any]:
        return {
            'direction': 'mask of the first frame carried to all others',
            'frames': sum(len(film.frames) for film in self._films),
        }

    def load(self, index: int) -> Pair:
        film = self._films[index]
        frames = _Frames(film.frames)
        masks = [read_labels(file) for file in film.masks]
        for file, mask in zip(film.masks, masks, strict=True):
            if mask.shape != frames[0].shape[:2]:
                raise InputError(
                    f'{film.where}: the mask {file.name} must be as large as '
                    f'the frames, {frames[0].shape[1]}x{frames[0].shape[0]}, '
                    f'got {mask.shape[1]}x{mask.shape[0]}'
                )
        return Pair(
            film.name,
            film.name,
            frames[0],
            frames[-1],
            masks,
            (Reference(frames[0], masks[0]),),
            frames,
        )

    def score(self, pair: Pair, answer: Answer) -> Scores:
        truth: Sequence[NDArray[Any]] = pair.truth[1:]
        if len(answer.series) != len(truth):
            raise InputError(
                f'{pair.name}: expected labels of {len(truth)} frames, got '
                f'{len(answer.series)}'
            )
        pairs = list(zip(answer.series, truth, strict=True))
        overlap = iou if truth[0].dtype == bool else mean_iou
        j = [overlap(carried, mask) for carried, mask in pairs]
        quarter = max(1, len(j) // 4)
        return {
            'j': float(np.mean(j)),
            'f': float(np.mean([boundary_f(*both) for both in pairs])),
            'j_decay': float(np.mean(j[:quarter]) - np.mean(j[-quarter:])),
        }

    def panels(self, pair: Pair, answer: Answer) -> list[Panel]:
        series = answer.series
        if not series:
            # A report shows a method that answered the last frame alone.
            series = [answer.carried_labels(pair.truth[0])]
        return [
            ('first frame', draw.mask(pair.source, pair.truth[0])),
            ('truth, last frame', draw.mask(pair.target, pair.truth[-1])),
            ('carried', draw.mask(pair.target, series[-1])),
        ]
