"""Networks that the user has trained, known by name like the packaged ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samnet.errors import InputError, cannot
from napari_samnet.files import atomic_write, user_folder
from napari_samnet.runtime.weights import packaged_weights, save_model

if TYPE_CHECKING:
    from napari_samnet.samnet.network import SAMNet

#: A name is a file's name on every system, and never looks like a path.
_NAME = re.compile(r'\w([\w.-]{0,58}\w)?')


def check_own_name(name: str) -> None:
    """Refuse names that no own network can have.

    Raises InputError if it cannot be used, or a packaged network has it.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"name must be of at most 60 letters, digits, '-', '_' and '.', "
            f'got {name!r}'
        )
    if name.lower() in packaged_weights():
        raise InputError(
            f'{name!r} is the name of a packaged network, choose another'
        )


def save_own_weights(model: SAMNet, name: str, card: dict[str, Any]) -> Path:
    """Keep a network among the user's own, with its model card.

    ``name``: how it will be known; a network of that name is replaced. Raises
    InputError if the name cannot be used or nothing can be written.
    """
    check_own_name(name)
    folder = user_folder('weights')
    path = folder / f'{name}.safetensors'
    beside = path.with_suffix('.json')
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The old card goes first: weights without a card can be read,
        # weights beside the card of others are refused as damaged.
        beside.unlink(missing_ok=True)
        digest = save_model(model, path)
    except OSError as error:
        raise cannot(f'write {path}', error) from error
    text = json.dumps({**card, 'name': name, 'sha256': digest}, indent=2)
    with atomic_write(beside) as file:
        file.write(text.encode())
    return path
