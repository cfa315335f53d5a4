"""A network in memory, on the device and in the arithmetic asked for."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samnet.runtime.devices import (
    ExecutionTarget,
    resolve_execution_target,
    resolve_precision,
)
from napari_samnet.runtime.int8 import find_limits
from napari_samnet.runtime.weights import Weights, get_weights, read_model

if TYPE_CHECKING:
    from napari_samnet.samnet.network import SAMNet


@lru_cache(maxsize=2)
def _cached_model(
    path: str,
    digest: str,
    place: ExecutionTarget,
    reference: bool,
) -> SAMNet:
    import torch

    model = read_model(path)
    if place.backend == 'openvino':
        return _on_openvino(model, Path(path), digest, place.precision)
    dtype = torch.bfloat16 if place.precision == 'bf16' else torch.float32
    # The convolutions of VGG and decoder are nearly all of the work; the
    # matching itself stays in single precision.
    for part in (model.features.convolutions, model.decoder):
        part.to(dtype)
        if not reference:
            part.to(memory_format=torch.channels_last)
    return model.to(place.device)


def _on_openvino(
    model: SAMNet, path: Path, digest: str, precision: str
) -> SAMNet:
    """Hand the convolutions over, with the limits that int8 needs."""
    from napari_samnet.runtime.openvino_modules import use_openvino

    limits = {}
    if precision == 'int8':
        limits = find_limits(Weights(path.stem, path, digest), model)
    model = use_openvino(model, precision, **limits)
    likeness = model.features.likeness
    narrow = precision == 'int8' and resolve_precision('auto', 'cpu') == 'bf16'
    if likeness is not None and narrow:
        # In half the time. It is compared in whole numbers, to which features
        # are rounded more.
        model.features.likeness = likeness.bfloat16()
    return model


def load_model(
    name: str | os.PathLike[str] = 'samnet',
    *,
    device: str = 'cpu',
    precision: str = 'fp32',
    backend: str = 'auto',
    reference: bool = False,
) -> SAMNet:
    """Load a network, ready to run; the last two are kept in memory.

    Parameters
    ----------
    name : str or path-like
        One of :func:`available_weights`, or a safetensors file.
    device : str
        'auto', 'cpu', 'mps', 'cuda' or 'cuda:N'.
    precision : {'auto', 'fp32', 'bf16', 'int8'}
        Arithmetic of the feature network and the decoder.
    backend : {'auto', 'torch', 'openvino'}
        What computes the feature network and the decoder.
    reference : bool
        Leave the memory layout of the convolutions as it is by default.

    Returns
    -------
    SAMNet
        The network with its weights, in evaluation mode.

    Raises
    ------
    WeightsError
        If the weights cannot be found or used.
    DeviceError
        If the device or backend is not there.
    """
    weights = get_weights(name)
    place = resolve_execution_target(
        device, precision, backend, weights=weights
    )
    return _cached_model(str(weights.path), weights.sha256, place, reference)
