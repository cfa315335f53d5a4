"""What each part of the method is worth: the paper's Sec. 5.3 as one run.

Iterations 1 to 10 with and without attribute transfer, search windows 5 to
13, the layers of the matching feature, and other weights, such as those
trained with another loss, all on the same pairs. Features are computed once
per image and network.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import (
    Answer,
    Pair,
    Protocol,
    Scores,
    package_versions,
    spread,
)
from napari_samnet.evaluation.methods.base import Samnet
from napari_samnet.evaluation.report import table
from napari_samnet.files import atomic_files, write_text
from napari_samnet.options import MatchOptions

__all__ = [
    'ITERATIONS',
    'WINDOWS',
    'ablate',
    'as_markdown',
    'parse_networks',
    'with_layers',
    'write_ablation',
]

#: Numbers of iterations of the paper's Fig. 7 and 8.
ITERATIONS = tuple(range(1, 11))
#: Search windows of the paper's Fig. 7, in cells.
WINDOWS = (5, 7, 9, 11, 13)


@dataclass(frozen=True)
class _Variant:
    """A row, or a column of rows per iteration, of one table."""

    table: str
    name: str
    method: Samnet
    iterations: tuple[int, ...] = ()

    def scores(self, protocol: Protocol, pair: Pair) -> dict[str, Scores]:
        """Scores of one pair by the name of the row."""
        if not self.iterations:
            answer = self.method.answer(pair)
            return {self.name: protocol.score(pair, answer)}
        answer = self.method.trace(pair, self.iterations)
        return {
            f'{count} {self.name}': protocol.score(
                pair, Answer(answer.partial[count])
            )
            for count in self.iterations
        }


def _variants(
    options: MatchOptions,
    networks: Mapping[str, str],
    layers: Mapping[str, str],
) -> list[_Variant]:
    """Everything that is compared, table by table."""
    # Without the early stop every number of iterations is what it says.
    endless = replace(options, iterations=max(ITERATIONS), tolerance=0.0)
    found = [
        _Variant(
            'iterations',
            f'{word} attributes',
            Samnet(word, replace(endless, attributes=attributes)),
            ITERATIONS,
        )
        for word, attributes in (('with', True), ('without', False))
    ]
    found += [
        _Variant(
            'attributes',
            word,
            Samnet(word, replace(options, attributes=attributes)),
        )
        for word, attributes in (('with', True), ('without', False))
    ]
    cells = options.size // 8
    found += [
        _Variant(
            'window',
            f'{window}x{window}',
            Samnet(str(window), replace(options, window=window)),
        )
        for window in WINDOWS
        if window <= cells
    ]
    found += [
        _Variant(kind, name, Samnet(name, replace(options, weights=file)))
        for kind, files in (('layers', layers), ('weights', networks))
        for name, file in files.items()
    ]
    return found


def with_layers(weights: str, layers: Sequence[str], path: Path) -> None:
    """Write a network that matches by some of another's layers alone.

    Parameters
    ----------
    weights : str
        Of a network that has these layers, or deeper ones.
    layers : sequence of str
        Matching layers of the new one.
    path : Path
        Of its weights, fp16 as the packaged ones are.
    """
    from napari_samnet.runtime.weights import (
        get_weights,
        read_model,
        save_model,
    )
    from napari_samnet.samnet.network import SAMNet

    whole = read_model(get_weights(weights).path)
    part = SAMNet(
        replace(whole.config, matching_layers=tuple(layers), projection=0)
    )
    wanted = part.state_dict().keys()
    part.load_state_dict(
        {k: v for k, v in whole.state_dict().items() if k in wanted}
    )
    save_model(part, path)


def _layer_networks(weights: str, folder: Path) -> dict[str, str]:
    """The paper's layer alone, then one more of the network's at a time.

    All channels of each, not projected.
    """
    from napari_samnet.runtime.weights import get_weights, read_model

    own = read_model(get_weights(weights).path).config.matching_layers
    choices = [
        ('relu4_1',),
        *(own[:count] for count in range(1, len(own) + 1)),
    ]
    found = {}
    for layers in dict.fromkeys(choices):
        path = folder / f'{"_".join(layers)}.safetensors'
        with_layers(weights, layers, path)
        found[' + '.join(layers)] = str(path)
    return found


def parse_networks(texts: Sequence[str]) -> dict[str, str]:
    """Names and files from ``NAME=FILE`` texts.

    Raises
    ------
    InputError
        If a text is not of that form, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, file = text.partition('=')
        if not equals or not name or not file:
            raise InputError(f'compare must be NAME=FILE, got {text!r}')
        if name in found:
            raise InputError(f'compare has the name {name!r} twice')
        found[name] = file
    return found


def ablate(
    protocol: Protocol,
    options: MatchOptions,
    *,
    networks: Mapping[str, str] | None = None,
    limit: int | None = None,
    on_pair: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Run every variant on the same pairs.

    Parameters
    ----------
    protocol : Protocol
        Brings the pairs and scores them.
    options : MatchOptions
        What the variants start from.
    networks : mapping of str to str, optional
        Further weights by the name of their row.
    limit : int, optional
        Take only so many pairs, evenly spread over the list.
    on_pair : callable, optional
        Told the number of pairs done, their total, and the pair's name.

    Returns
    -------
    dict
        JSON-able: protocol, pairs, and per table and row the mean scores.

    Raises
    ------
    InputError
        If weights or a pair cannot be used.
    """
    networks = dict(networks or {})
    if networks:
        networks = {'default': options.weights, **networks}
    with TemporaryDirectory(prefix='napari-samnet-') as folder:
        layers = _layer_networks(options.weights, Path(folder))
        variants = _variants(options, networks, layers)
        return _measure(protocol, options, variants, limit, on_pair)


def _measure(
    protocol: Protocol,
    options: MatchOptions,
    variants: Sequence[_Variant],
    limit: int | None,
    on_pair: Callable[[int, int, str], None] | None,
) -> dict[str, Any]:
    """Score every variant on the same pairs; see :func:`ablate`."""
    for variant in variants:
        variant.method.prepare()
    chosen = spread(len(protocol), limit)
    scores: dict[tuple[str, str], list[Scores]] = {}
    for done, index in enumerate(chosen):
        pair = protocol.load(index)
        if on_pair is not None:
            on_pair(done, len(chosen), pair.name)
        # Grouped by network, so that the cache still has both images.
        for variant in variants:
            for row, found in variant.scores(protocol, pair).items():
                scores.setdefault((variant.table, row), []).append(found)
    if on_pair is not None:
        on_pair(len(chosen), len(chosen), '')
    tables: dict[str, dict[str, Any]] = {}
    for (name, row), found_scores in scores.items():
        means = protocol.summary(found_scores, ())
        tables.setdefault(name, {})[row] = means
    default = Samnet('samnet', options)
    default.prepare()
    return {
        'protocol': 'ablation',
        'measured_by': protocol.name,
        'pairs': len(chosen),
        'tables': tables,
        'settings': protocol.settings(),
        **default.details(),
        'versions': {
            'python': platform.python_version(),
            **package_versions(('napari-samnet', 'numpy', *Samnet.packages)),
        },
    }


_TITLES = {
    'iterations': 'Matching iterations, no early stop',
    'attributes': 'Attribute transfer, default iterations',
    'window': 'Search window in cells',
    'layers': 'Layers of the matching feature',
    'weights': 'Weights',
}


def as_markdown(result: Mapping[str, Any]) -> str:
    """Tables of an ablation as Markdown.

    Parameters
    ----------
    result : mapping
        Of :func:`ablate`.
    """
    lines = [
        f'# Ablation: {result.get("preset", result["measured_by"])}',
        '',
        f'{result["pairs"]} pairs; weights {result["weights"]["name"]}, '
        f'SHA-256 {result["weights"]["sha256"][:16]}.',
    ]
    for name, rows in result['tables'].items():
        lines += ['', f'## {_TITLES[name]}', '', *table(rows, name)]
    return '\n'.join(lines) + '\n'


def write_ablation(folder: Path, result: Mapping[str, Any]) -> list[Path]:
    """Write ablation.md and ablation.json, and return their paths."""
    import json

    texts = {
        'ablation.md': as_markdown(result),
        'ablation.json': json.dumps(result, indent=2) + '\n',
    }
    with atomic_files(folder) as draft:
        for name, text in texts.items():
            write_text(draft / name, text)
    return [folder / name for name in texts]
