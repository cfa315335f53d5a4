"""Flows that another program wrote, scored like everything else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from napari_samnet.datasets.pair_lists import FlowPair
from napari_samnet.datasets.reading import read_labels
from napari_samnet.errors import InputError
from napari_samnet.evaluation.interfaces import Answer, Method, Pair
from napari_samnet.evaluation.methods.base import from_fields
from napari_samnet.io.flo import read_flo

Plane = NDArray[np.float32]


def _resize(plane: Plane, shape: tuple[int, ...]) -> Plane:
    """Bilinear, with a wider kernel when shrinking, as the kit resizes."""
    picture = PIL.Image.fromarray(plane)
    return np.asarray(
        picture.resize((shape[1], shape[0]), PIL.Image.Resampling.BILINEAR)
    )


def _flow(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Flow of a file at the size of an image, in its pixels."""
    flow = read_flo(path)
    scale = np.array(shape[:2]) / np.array(flow.shape[:2])
    return np.stack(
        [
            _resize(np.ascontiguousarray(flow[..., axis]), shape)
            * np.float32(scale[axis])
            for axis in range(2)
        ],
        axis=-1,
    )


def _normalized(
    flow: NDArray[np.float32], other: tuple[int, ...]
) -> NDArray[np.floating]:
    """Displacement in normalized units from a flow in pixels."""
    at = np.moveaxis(np.indices(flow.shape[:2]), 0, -1) + 0.5
    end = (at + flow) / np.array(other[:2])
    return np.asarray(end - at / np.array(flow.shape[:2]))


def with_estimates(pairs: Sequence[FlowPair], folder: Path) -> list[FlowPair]:
    """Pairs for which a folder holds both flows.

    Raises InputError if there is none.
    """
    complete = [
        pair
        for pair in pairs
        if all(
            (folder / pair.group / pair.name / f'flow{side}.flo').is_file()
            for side in (1, 2)
        )
    ]
    if not complete:
        raise InputError(
            f'{folder} holds no <group>/<pair>/flow1.flo and flow2.flo of '
            f'the pairs'
        )
    return complete


class Estimates(Method):
    """Reads ``flow1.flo, flow2.flo`` and, if there, ``mask1|2.png``.

    ``folder``: holds ``<group>/<pair>/``, as the kit expects results. Flows of
    another size are resized.
    """

    name = 'estimates'

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def answer(self, pair: Pair) -> Answer:
        folder = self._folder / pair.group / pair.name
        shapes = [pair.source.shape, pair.target.shape]
        flows = [
            _flow(folder / f'flow{side}.flo', shape)
            for side, shape in zip((1, 2), shapes, strict=True)
        ]
        files = [folder / f'mask{side}.png' for side in (1, 2)]
        masks = None
        if all(file.is_file() for file in files):
            first, second = (
                _resize((read_labels(file) > 0).astype(np.float32), shape)
                > 0.5
                for file, shape in zip(files, shapes, strict=True)
            )
            masks = first, second
        return Answer(
            from_fields(
                pair,
                _normalized(flows[0], shapes[1]),
                _normalized(flows[1], shapes[0]),
            ),
            masks=masks,
        )
