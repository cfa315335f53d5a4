"""``napari-samnet info``: versions, devices and weights that are there."""

from __future__ import annotations

import argparse
import platform
from typing import Any

from napari_samnet.cli.arguments import add_json_option, tell_facts
from napari_samnet.runtime.versions import installed_versions

_PACKAGES = (
    'napari-samnet',
    'torch',
    'torchvision',
    'numpy',
    'scikit-image',
    'napari',
    'PyQt6',
    'PySide6',
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.commands`."""
    parser.description = (
        'Print versions, devices, and the packaged weights with '
        'the figures measured with them.'
    )
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the facts."""
    facts = collect()
    tell_facts(arguments, facts, as_text(facts))
    return 0


def collect() -> dict[str, Any]:
    """Collect what a report of a problem should say.

    Returns: versions of Python and packages, system, devices, and for each
    packaged or own network, the default one first, its file's hash and its
    model card.
    """
    return {
        'python': platform.python_version(),
        'system': platform.platform(),
        'packages': dict.fromkeys(_PACKAGES) | installed_versions(_PACKAGES),
        'devices': _devices(),
        'weights': _weights(),
    }


def as_text(facts: dict[str, Any]) -> str:
    """Lay out the facts for reading."""
    lines = [f'Python {facts["python"]} on {facts["system"]}']
    for name, number in facts['packages'].items():
        lines.append(f'  {name:<14} {number or "not installed"}')
    lines.append('Devices')
    lines += [f'  {name}' for name in facts['devices']['available']]
    devices = facts['devices']
    lines.append(
        f'  auto takes {devices["auto"]}, {devices["precision"]} and '
        f'{devices["backend"]}'
    )
    lines.append('Weights')
    for name, weights in facts['weights'].items():
        lines.append(f'  {name}  SHA-256 {weights["sha256"]}')
        lines += _card_lines(weights['card'], depth=2)
    return '\n'.join(lines) + '\n'


def _card_lines(card: dict[str, Any], depth: int) -> list[str]:
    lines = []
    for key, value in card.items():
        if key == 'sha256':
            continue
        label = '  ' * depth + str(key).replace('_', ' ')
        if isinstance(value, dict):
            lines.append(label)
            lines += _card_lines(value, depth + 1)
        elif isinstance(value, list):
            lines.append(f'{label}: {", ".join(map(str, value))}')
        else:
            lines.append(f'{label}: {value}')
    return lines


def _weights() -> dict[str, Any]:
    from napari_samnet.errors import WeightsError
    from napari_samnet.options import DEFAULTS
    from napari_samnet.runtime.weights import available_weights, get_weights

    networks: dict[str, Any] = {}
    # The network of a match without options first.
    names = sorted(available_weights(), key=DEFAULTS.weights.__ne__)
    for name in names:
        try:
            weights = get_weights(name)
        except WeightsError as error:
            # One damaged file of the user's must not hide the rest.
            networks[name] = {'sha256': None, 'card': {'error': str(error)}}
        else:
            networks[name] = {'sha256': weights.sha256, 'card': weights.card}
    return networks


def _devices() -> dict[str, Any]:
    import torch

    from napari_samnet.errors import WeightsError
    from napari_samnet.options import DEFAULTS
    from napari_samnet.runtime.devices import resolve_execution_target
    from napari_samnet.runtime.weights import get_weights

    available = ['cpu']
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        available.append(f'cuda:{index} ({name})')
    if torch.backends.mps.is_available():
        available.append('mps')
    try:
        weights = get_weights(DEFAULTS.weights)
    except WeightsError:
        weights = None
    chosen = resolve_execution_target(weights=weights)
    return {
        'available': available,
        'auto': chosen.device,
        'backend': chosen.backend,
        'precision': chosen.precision,
    }
