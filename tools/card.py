"""Figures in the card of a network, from files that the benchmark wrote.

``python -m card CARD RESULT…`` puts what
``napari-samnet benchmark … --json > RESULT`` printed into the card, so that no
figure is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from napari_samnet.errors import InputError
from napari_samnet.files import atomic_write
from napari_samnet.options import DEFAULTS


def with_figures(
    card: dict[str, Any], result: dict[str, Any]
) -> dict[str, Any]:
    """A card with the figures of one result.

    ``card``: what is known of a network: at least `name` and `sha256`.
    ``result``: what ``napari-samnet benchmark … --json`` printed.
    Returns: the card, whose entry `measured` has the result under the name of
    its data set or protocol.
    Raises InputError if the result is of other weights, or not of the default
    settings.
    """
    methods: dict[str, Any] = result.get('methods') or {}
    shipped = methods.get('samnet')
    if not isinstance(shipped, dict) or 'protocol' not in result:
        raise InputError("no result of the method 'samnet'")
    weights = shipped.get('weights', {}).get('sha256')
    if weights != card['sha256']:
        raise InputError(
            f'the result is of the weights {weights}, the card of '
            f'{card["sha256"]}'
        )
    usual = {**asdict(DEFAULTS), 'weights': card['name']}
    other = {
        name: value
        for name, value in shipped.get('options', {}).items()
        if usual.get(name) != value
    }
    if other:
        raise InputError(f'the result is not of default settings: {other}')
    title = result.get('preset', result['protocol'])
    command = f'napari-samnet benchmark {title}'
    if 'preset' in result:
        command += ' --root DATA'
    if result.get('limit') is not None:
        command += f' --limit {result["limit"]}'
    figures = {
        'command': command,
        'pairs': result['pairs'],
        **{
            method: {
                name: value
                for name, value in scores.items()
                if name == 'epe_by_iteration'
                or (isinstance(value, float) and name != 'seconds_per_pair')
            }
            for method, scores in methods.items()
        },
    }
    return {**card, 'measured': {**card.get('measured', {}), title: figures}}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    ``argv``: words after the program's name. Returns: exit status: 0 done, 2
    wrong input.
    """
    parser = argparse.ArgumentParser(
        prog='python -m card',
        description='Put the figures of benchmark results into a card.',
    )
    parser.add_argument('card', metavar='CARD', help='card of a network')
    parser.add_argument(
        'results', metavar='RESULT', nargs='+', help='what --json printed'
    )
    args = parser.parse_args(argv)
    try:
        card = _read(args.card)
        for path in args.results:
            card = with_figures(card, _read(path))
        with atomic_write(args.card) as file:
            file.write((json.dumps(card, indent=2) + '\n').encode())
    except InputError as error:
        sys.stderr.write(f'error: {error}\n')
        return 2
    return 0


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except (OSError, ValueError) as error:
        raise InputError(f'{path} cannot be read as JSON: {error}') from error
    if not isinstance(content, dict):
        raise InputError(f'{path} must hold one JSON object')
    return content


if __name__ == '__main__':
    raise SystemExit(main())
