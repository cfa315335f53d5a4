"""Weights files: what ships, how it is checked, read and written.

A weights file is safetensors: no code runs when it is read. Its header
carries the network's configuration, so that a file is all one needs. The
file of a known network is checked against the hash in its card, a JSON file
beside it which also holds what was measured with it. Known are the packaged
networks and those that the user has trained.

torch is imported only where a network is built.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samnet.errors import WeightsError, in_one_line
from napari_samnet.files import atomic_write, user_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_samnet.samnet.config import SAMNetConfig
    from napari_samnet.samnet.network import SAMNet

#: Where the packaged networks lie, with their cards and what else was found
#: of them.
PACKAGED_FOLDER = Path(__file__).parent.parent / 'weights'
FORMAT = 'napari-samnet-1'
#: Entry of the header that names a packaged network of which the file lacks
#: what both have in common.
SHARES = 'shares'


@dataclass(frozen=True)
class Weights:
    """One set of weights."""

    #: Name of a known network, or the stem of a file.
    name: str
    #: The safetensors file that holds the tensors.
    path: Path
    #: Hash of the file.
    sha256: str
    #: Model card: data, recipe, licence, measured figures. Empty for a file
    #: without one.
    card: dict[str, Any] = field(default_factory=dict)


def packaged_weights() -> tuple[str, ...]:
    """Names of the networks that come with the package."""
    return tuple(
        sorted(path.stem for path in PACKAGED_FOLDER.glob('*.safetensors'))
    )


def available_weights() -> tuple[str, ...]:
    """Names of the packaged networks, then of the user's own."""
    packaged = packaged_weights()
    user_names: list[str] = []
    # A folder that may not be read, as in some containers, counts as empty.
    with suppress(PermissionError):
        user_names = sorted(
            path.stem
            for path in user_folder('weights').glob('*.safetensors')
            # Hidden files are being written.
            if not path.name.startswith('.')
        )
    return *packaged, *(name for name in user_names if name not in packaged)


@lru_cache(maxsize=16)
def _hash(path: str, *_state: int) -> str:
    """SHA-256 of a file; by what its status says, a change is seen."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _read_card(path: Path) -> dict[str, Any]:
    """Model card, empty if there is none."""
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise WeightsError(
            f'{path.name} is no JSON file: {in_one_line(error)}'
        ) from error
    if not isinstance(card, dict):
        raise WeightsError(
            f'{path.name} must hold a model card, got a {type(card).__name__}'
        )
    return card


def get_weights(name: str | os.PathLike[str]) -> Weights:
    """Find weights by name or path, and check the hash where it is known.

    ``name``: one of :func:`available_weights`, or the path of a safetensors
    file.
    Raises WeightsError if there is no such network or file, or its hash is
    wrong.
    """
    path = Path(str(name))
    if str(name) in available_weights():
        packaged = str(name) in packaged_weights()
        folder = PACKAGED_FOLDER if packaged else user_folder('weights')
        path = folder / f'{name}.safetensors'
    if not path.is_file():
        raise WeightsError(
            f'weights must be one of {", ".join(available_weights())} or the '
            f'path of a .safetensors file, got {str(name)!r}'
        )
    try:
        status = path.stat()
        # Two files may be written within one tick of the clock.
        digest = _hash(
            str(path), status.st_ino, status.st_size, status.st_mtime_ns
        )
        card = _read_card(path.with_suffix('.json'))
    except OSError as error:
        raise WeightsError(
            f'{path.name} cannot be read: {in_one_line(error)}'
        ) from error
    expected = str(card.get('sha256', digest))
    if expected != digest:
        raise WeightsError(
            f'{path.name} is damaged: expected SHA-256 {expected[:16]}…, '
            f'got {digest[:16]}…'
        )
    return Weights(path.stem, path, digest, card)


def _read_config(header: dict[str, str], name: str) -> SAMNetConfig:
    """Network that a weights file says it holds."""
    from napari_samnet.samnet.config import SAMNetConfig

    if header.get('format') != FORMAT:
        raise WeightsError(
            f'{name} is not a napari-samnet weights file: expected format '
            f'{FORMAT!r}, got {header.get("format")!r}'
        )
    try:
        return SAMNetConfig.from_dict(json.loads(header['config']))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f'{name} has no usable network configuration: {in_one_line(error)}'
        ) from error


def read_model(path: str | os.PathLike[str]) -> SAMNet:
    """Build the network that a weights file describes, in fp32 on the CPU.

    Raises WeightsError if the file is no safetensors file, is damaged, or
    holds another network.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    from napari_samnet.samnet.network import SAMNet

    path = Path(path)
    try:
        with safe_open(path, framework='pt', device='cpu') as file:
            config = _read_config(file.metadata() or {}, path.name)
            state = {
                # A copy, as the file may be replaced while it is in use.
                key: file.get_tensor(key).to(torch.float32, copy=True)
                for key in file.keys()  # noqa: SIM118
            }
            # A second projection of earlier networks, which is one now.
            state.pop('features.taught', None)
            shares = (file.metadata() or {}).get(SHARES)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f'{path.name} cannot be read as safetensors: {in_one_line(error)}'
        ) from error
    try:
        # Drawing random weights first would take longer than reading these.
        with torch.device('meta'):
            model = SAMNet(config)
        if shares is not None:
            state = _shared(model, shares, path.name) | state
        missing, unexpected = model.load_state_dict(
            state, strict=False, assign=True
        )
    except (RuntimeError, ValueError) as error:
        raise WeightsError(
            f'{path.name} does not fit the network that it describes: '
            f'{in_one_line(error)}'
        ) from error
    if missing or unexpected:
        raise WeightsError(
            f'{path.name} does not fit the network that it describes: '
            f'{len(missing)} tensors are missing, {len(unexpected)} are not '
            f'known'
        )
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise WeightsError(f'{path.name} holds values that are not finite')
    return model.eval().requires_grad_(False)


def _shared(model: SAMNet, name: str, of: str) -> dict[str, Tensor]:
    """Tensors of a packaged network that another one has in common."""
    if name not in packaged_weights():
        raise WeightsError(
            f'{of} shares tensors of {name!r}, which is not one of the '
            f'packaged networks ({", ".join(packaged_weights())})'
        )
    packaged = read_model(get_weights(name).path).state_dict()
    return {
        key: packaged[key]
        for key, value in model.state_dict().items()
        if key in packaged and packaged[key].shape == value.shape
    }


def share_packaged(model: SAMNet) -> None:
    """Fill a network with what it has in common with the packaged one.

    ``model``: changed in place: tensors with the same name and shape are
    copied.
    """
    state = _shared(model, 'samnet', 'the new network')
    model.load_state_dict(state, strict=False)


def save_model(
    model: SAMNet,
    path: str | os.PathLike[str],
    *,
    half: bool = True,
    parts: Sequence[str] = (),
    shares: str = '',
) -> str:
    """Write a network; the file appears whole or not at all.

    ``path``: where to; existing files are replaced.
    ``half``: store fp16, half the size. fp32 otherwise.
    ``parts``: beginnings of the names of tensors that are written, such as
    ``'matcher'``; all of them by default.
    ``shares``: packaged network whose tensors the parts that are not written
    are taken from when the file is read.
    Returns: SHA-256 of the file.
    Raises InputError if it cannot be written.
    """
    import torch
    from safetensors.torch import save

    dtype = torch.float16 if half else torch.float32
    state = {
        key: value.detach().to('cpu', dtype).contiguous()
        for key, value in model.state_dict().items()
        if not parts or key.startswith(tuple(parts))
    }
    header = {
        'format': FORMAT,
        'config': json.dumps(model.config.to_dict()),
    }
    if shares:
        header[SHARES] = shares
    content = _ordered(save(state, metadata=header))
    with atomic_write(path) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def _ordered(content: bytes) -> bytes:
    """A safetensors file whose header has an order, so that hashes repeat."""
    end = 8 + int.from_bytes(content[:8], 'little')
    header = json.dumps(json.loads(content[8:end]), sort_keys=True).encode()
    header += b' ' * (-len(header) % 8)
    return len(header).to_bytes(8, 'little') + header + content[end:]
