"""The fitted confidence of a network, in a small file beside its weights.

``NAME.confidence.npz`` holds the names of the evidence and the parameters of
:class:`napari_samnet.samnet.confidence.MatchConfidence`, and which layers the
features were made of: what was fitted to their cosines says nothing of
others. :mod:`napari_samnet.training.confidence` writes it.
"""

from __future__ import annotations

import io
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_samnet.errors import WeightsError, in_one_line
from napari_samnet.files import atomic_write
from napari_samnet.runtime.weights import PACKAGED_FOLDER

if TYPE_CHECKING:
    from napari_samnet.runtime.weights import Weights
    from napari_samnet.samnet.confidence import MatchConfidence
    from napari_samnet.samnet.config import SAMNetConfig

#: The one that was fitted to the packaged network.
_SHIPPED = PACKAGED_FOLDER / 'samnet.confidence.npz'


def confidence_path(weights: str | os.PathLike[str]) -> Path:
    """Where the confidence of a weights file is looked for."""
    return Path(weights).with_suffix('.confidence.npz')


def save_confidence(
    confidence: MatchConfidence, path: Path, config: SAMNetConfig
) -> None:
    """Write a fitted confidence; the file appears whole or not at all.

    ``path``: where to; an existing file is replaced.
    """
    state = {
        name: value.detach().cpu().float().numpy()
        for name, value in confidence.state_dict().items()
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        names=np.array(confidence.names),
        layers=np.array(config.matching_layers),
        projection=np.array(config.projection),
        **state,
    )
    with atomic_write(path) as file:
        file.write(buffer.getvalue())


def find_confidence(
    weights: Weights, config: SAMNetConfig
) -> MatchConfidence | None:
    """The confidence of a network: its own, or that of the packaged one.

    Returns: None if none was fitted to features like these. Raises
    WeightsError if the network's own file cannot be used.
    """
    for path in dict.fromkeys([confidence_path(weights.path), _SHIPPED]):
        if not path.is_file():
            continue
        status = path.stat()
        confidence, layers, projection = _read(
            str(path), status.st_size, status.st_mtime_ns
        )
        if layers == config.matching_layers and bool(projection) == bool(
            config.projection
        ):
            return confidence
    return None


@lru_cache(maxsize=4)
def _read(
    path: str, *_state: int
) -> tuple[MatchConfidence, tuple[str, ...], int]:
    """Networks of a file, and the layers and directions that they are for."""
    from napari_samnet.samnet.confidence import MatchConfidence

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        names = tuple(map(str, arrays.pop('names')))
        layers = tuple(map(str, arrays.pop('layers')))
        projection = int(arrays.pop('projection'))
        if not all(np.isfinite(value).all() for value in arrays.values()):
            raise ValueError('it holds values that are not finite')
        confidence = MatchConfidence.from_arrays(names, arrays)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f'{Path(path).name} is no confidence of a network: '
            f'{in_one_line(error)}'
        ) from error
    return confidence, layers, projection
