"""Results as text and pictures for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.evaluation import draw
from napari_samnet.evaluation.benchmark import BenchmarkRun
from napari_samnet.evaluation.interfaces import Method, Protocol
from napari_samnet.files import atomic_files, make_folder, write_text
from napari_samnet.io.csv_lines import csv_text
from napari_samnet.io.image_files import write_png
from napari_samnet.outputs import folder as results

#: Files of a report, in the order in which they are written.
REPORT_FILES = ('report.md', 'pairs.csv', 'result.json', 'pairs.png')


def _cell(value: Any) -> str:
    if value is None:
        return 'n/a'
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def table(rows: Mapping[str, Mapping[str, Any]], first: str) -> list[str]:
    """Markdown table with the rows' scalar values.

    ``rows``: per row its name and its values by the name of the column.
    """
    names = list(
        dict.fromkeys(
            name
            for row in rows.values()
            for name, value in row.items()
            if isinstance(value, int | float) or value is None
        )
    )
    lines = [
        '| ' + ' | '.join((first, *names)) + ' |',
        '|' + '---|' * (len(names) + 1),
    ]
    for title, row in rows.items():
        cells = [_cell(row[name]) if name in row else '' for name in names]
        lines.append('| ' + ' | '.join((title, *cells)) + ' |')
    return lines


def _reliability(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Table of the intervals of the confidence, a bar for a diagram."""
    lines = [
        '| confidence | right | points | right of ten |',
        '|---|---|---|---|',
    ]
    lines += [
        f'| {row["confidence"]:.2f} | {row["right"]:.2f} | {row["points"]} | '
        f'{"█" * round(10 * row["right"])} |'
        for row in rows
    ]
    return lines


def markdown(result: Mapping[str, Any]) -> str:
    """Result of a benchmark as Markdown.

    Returns: settings, one table of the methods, one per grouping, versions.
    """
    methods: Mapping[str, Mapping[str, Any]] = result['methods']
    title = result['protocol']
    if 'preset' in result:
        title = f'{title}, {result["preset"]}'
    lines = [f'# Benchmark: {title}', '']
    lines += [f'{result["pairs"]} pairs.', '']
    for name, value in result['settings'].items():
        lines.append(f'- {name.replace("_", " ")}: {value}')
    lines += ['', *table(methods, 'method')]
    curves = {
        name: row['epe_by_iteration']
        for name, row in methods.items()
        if 'epe_by_iteration' in row
    }
    if curves:
        lines += ['', '## End-point error by iteration', '']
        lines += table(curves, 'method')
    for name, row in methods.items():
        if 'reliability' in row:
            lines += ['', f'## Confidence and share of right points: {name}']
            lines += ['', *_reliability(row['reliability'])]
        if 'groups' in row:
            lines += ['', f'## Groups: {name}', '']
            lines += table(row['groups'], 'group')
    lines += ['', '## Versions', '']
    for name, row in (('run', result), *methods.items()):
        versions = ', '.join(
            f'{package} {version}'
            for package, version in row['versions'].items()
        )
        if versions:
            lines.append(f'- {name}: {versions}')
        if 'weights' in row:
            weights = row['weights']
            lines.append(
                f'- {name}: weights {weights["name"]}, SHA-256 '
                f'{weights["sha256"][:16]}'
            )
    return '\n'.join(lines) + '\n'


def check_folder(folder: Path) -> None:
    """Make the report's folder, before hours are spent on its content.

    Raises InputError if it cannot be made, or nothing may be written there.
    """
    results.check_folder(folder)
    make_folder(folder)


def _extremes(
    values: Sequence[float], higher_is_better: bool
) -> dict[str, int]:
    """Position of the best, the median and the worst finite value."""
    order = [
        int(position)
        for position in np.argsort(values, kind='stable')
        if np.isfinite(values[int(position)])
    ]
    if higher_is_better:
        order.reverse()
    if not order:
        return {}
    return {
        'best': order[0],
        'median': order[len(order) // 2],
        'worst': order[-1],
    }


def write_report(
    folder: Path,
    protocol: Protocol,
    methods: Sequence[Method],
    outcome: BenchmarkRun,
) -> list[Path]:
    """Write the files of a report.

    The picture shows the best, the median and the worst pair of the first
    method, ranked by the protocol's main score; that method runs once more
    on these three.

    Raises InputError if a file cannot be written.
    """
    first = methods[0]
    values = [
        score.get(protocol.ranking, float('nan'))
        for score in outcome.scores[first.name]
    ]
    rows = []
    for title, position in _extremes(
        values, protocol.higher_is_better
    ).items():
        pair = protocol.load(outcome.indices[position])
        answer = first.answer(pair)
        caption = (
            f'{title}: {pair.name}, {protocol.ranking} '
            f'{values[position]:.4g} ({first.name})'
        )
        rows.append((caption, protocol.panels(pair, answer)))
    text = markdown(outcome.result)
    if rows:
        text += (
            f'\n## Best, median and worst pair of {first.name}\n\n'
            f'![Best, median and worst pair]({REPORT_FILES[-1]})\n'
        )
    scores = json.dumps(outcome.result, indent=2) + '\n'
    *names, picture_name = REPORT_FILES
    contents = (text, _pair_table(outcome), scores)
    with atomic_files(folder) as draft:
        for name, content in zip(names, contents, strict=True):
            write_text(draft / name, content)
        if rows:
            picture = np.round(draw.sheet(rows) * 255).astype(np.uint8)
            write_png(draft / picture_name, picture)
            names.append(picture_name)
    return [folder / name for name in names]


def _pair_table(outcome: BenchmarkRun) -> str:
    """Scores of every pair and method as CSV text."""
    keys = {
        method: list(dict.fromkeys(key for score in scores for key in score))
        for method, scores in outcome.scores.items()
    }
    header = [
        f'{method} {key}' for method, names in keys.items() for key in names
    ]
    lines = [
        [
            name,
            *(
                f'{scores[position].get(key, float("nan")):.6g}'
                for method, scores in outcome.scores.items()
                for key in keys[method]
            ),
        ]
        for position, name in enumerate(outcome.pairs)
    ]
    return csv_text([['pair', *header], *lines], end='\n')
