"""Tables made from the files that hold the figures, when pages are built.

``model-card`` shows what is known of the packaged weights, ``int8-bounds`` how
int8 deviates with them, ``figures`` what the benchmark command wrote into
``docs/figures``, ``gallery`` the examples, and ``states`` the screenshots. No
figure is typed twice.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from napari_samnet.evaluation.report import markdown
from napari_samnet.runtime.int8 import BOUNDS, read_calibration

HERE = Path(__file__).parent
FIGURES = HERE.parent / 'figures'
IMAGES = HERE.parent / 'images'
EXAMPLES = HERE.parents[1] / 'examples'
WEIGHTS = HERE.parents[1] / 'src' / 'napari_samnet' / 'weights'


def table(rows: dict[str, dict[str, Any]], first: str) -> list[str]:
    """Markdown table of the scalar values of some rows."""
    columns = list(
        dict.fromkeys(
            name
            for row in rows.values()
            for name, value in row.items()
            if isinstance(value, int | float | str)
        )
    )
    lines = [
        '| ' + ' | '.join((first, *columns)) + ' |',
        '|' + '---|' * (len(columns) + 1),
    ]
    for title, row in rows.items():
        values = (row.get(name, '') for name in columns)
        cells = [
            f'{x:.3g}' if isinstance(x, float) else str(x) for x in values
        ]
        lines.append('| ' + ' | '.join((title, *cells)) + ' |')
    return [*lines, '']


def words(name: str) -> str:
    """Name of an entry for people."""
    return name.replace('_', ' ')


def entries(value: Any, depth: int = 0) -> list[str]:
    """Lines of a nested list of anything that JSON can hold."""
    if not isinstance(value, dict):
        return [f'{"  " * depth}- {value}']
    lines = []
    for key, item in value.items():
        if isinstance(item, dict):
            lines.append(f'{"  " * depth}- *{words(key)}*')
            lines += entries(item, depth + 1)
        elif isinstance(item, list):
            listed = ', '.join(map(str, item))
            lines.append(f'{"  " * depth}- *{words(key)}*: {listed}')
        else:
            lines.append(f'{"  " * depth}- *{words(key)}*: {item}')
    return lines


def card_pages(card: dict[str, Any], heading: str) -> list[str]:
    """Markdown of one model card."""
    lines = [f'{heading} {card["name"]}', '', str(card.get('summary', '')), '']
    lines += [f'SHA-256 of the file: `{card["sha256"]}`', '']
    known = {'name', 'sha256', 'summary', 'measured', 'known_failures'}
    for key, value in card.items():
        if key in known:
            continue
        lines += [f'**{words(key).capitalize()}.**']
        if isinstance(value, dict):
            lines += ['', *entries(value), '']
        else:
            text = ', '.join(value) if isinstance(value, list) else value
            lines += [f'{text}', '']
    if failures := card.get('known_failures'):
        lines += ['**Known failures.**', '']
        lines += [f'- {failure}' for failure in failures] + ['']
    for name, figures in card.get('measured', {}).items():
        lines += measured(name, figures, heading + '#')
    return lines


def measured(name: str, figures: Any, heading: str) -> list[str]:
    """Markdown of the figures of one benchmark in a card."""
    if not isinstance(figures, dict):
        return [f'{heading} {words(name)}', '', f'{figures}', '']
    methods = {k: v for k, v in figures.items() if isinstance(v, dict)}
    lines = [f'{heading} {words(name)}', '']
    for key, value in figures.items():
        if key in methods:
            continue
        text = f'`{value}`' if key == 'command' else value
        lines += [f'{words(key).capitalize()}: {text}', '']
    lines += table(methods, 'method')
    for method, row in methods.items():
        curves = {k: v for k, v in row.items() if isinstance(v, dict)}
        for title, curve in curves.items():
            lines += [f'{words(title).capitalize()} of {method}:', '']
            lines += table({method: curve}, '')
    return lines


class Generated(SphinxDirective):
    """A directive whose content is Markdown made when pages are built."""

    def text(self) -> list[str]:
        """Lines of Markdown."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the lines in place of the directive."""
        # New files must be seen, not only changed ones.
        self.env.note_reread()
        return self.parse_text_to_nodes(
            '\n'.join(self.text()), allow_section_headings=True
        )


class ModelCard(Generated):
    """All packaged networks, from the files beside them."""

    def text(self) -> list[str]:
        lines: list[str] = []
        for weights in sorted(WEIGHTS.glob('*.safetensors')):
            path = weights.with_suffix('.json')
            self.env.note_dependency(str(path))
            card = json.loads(path.read_text(encoding='utf-8'))
            lines += card_pages(card, '##')
        return lines


class Int8Bounds(Generated):
    """What int8 may change, and what it does with the default weights."""

    def text(self) -> list[str]:
        path = WEIGHTS / 'samnet.int8.json'
        self.env.note_dependency(str(path))
        calibration = read_calibration(path)
        assert calibration is not None
        lines = [
            '| | at most or least | shipped weights |',
            '|---|---|---|',
        ]
        for name, what, sign, unit in (
            ('mean_px', 'the field changes on average by', '≤', 'px'),
            ('epe_change_px', 'its end-point error grows by', '≤', 'px'),
            ('psnr_db', 'PSNR of the transferred image', '≥', 'dB'),
        ):
            lines.append(
                f'| {what} | {sign} {BOUNDS[name]:g} {unit} | '
                f'{calibration.deviation[name]:.3g} {unit} |'
            )
        return lines


class Figures(Generated):
    """Results of the benchmark command, from the files it wrote."""

    def text(self) -> list[str]:
        lines: list[str] = []
        for path in sorted(FIGURES.glob('*.json')):
            self.env.note_dependency(str(path))
            result = json.loads(path.read_text(encoding='utf-8'))
            # Times have a page of their own, measured on a quiet computer.
            for row in result['methods'].values():
                row.pop('seconds_per_pair', None)
            title, *rest = markdown(result).splitlines()
            lines += [f'## {title.removeprefix("# Benchmark: ")}', '']
            lines += [
                f'#{line}' if line.startswith('#') else line for line in rest
            ]
            lines += ['']
        return lines


class Gallery(Generated):
    """Every example, with what its first lines say, and its code."""

    def text(self) -> list[str]:
        lines: list[str] = []
        for path in sorted(EXAMPLES.glob('*.py')):
            self.env.note_dependency(str(path))
            code = path.read_text(encoding='utf-8')
            tree = ast.parse(code)
            title, _, story = (ast.get_docstring(tree) or '').partition('\n')
            body = code.splitlines()[tree.body[0].end_lineno :]
            lines += [f'## {title.rstrip(".")}', '', story.strip(), '']
            lines += [f'`examples/{path.name}`', '']
            lines += ['````python', *'\n'.join(body).strip().splitlines()]
            lines += ['````', '']
        return lines


class States(Generated):
    """Every state of the docks, in both themes."""

    def text(self) -> list[str]:
        lines: list[str] = []
        for path in sorted(IMAGES.glob('widget-*-dark.png')):
            self.env.note_dependency(str(path))
            state = path.stem.removeprefix('widget-').removesuffix('-dark')
            lines += [f'## {words(state.replace("-", " ")).capitalize()}', '']
            for theme in ('dark', 'light'):
                picture = path.with_name(f'widget-{state}-{theme}.png')
                if picture.is_file():
                    lines += [
                        f'```{{image}} images/{picture.name}',
                        f':alt: {words(state)}, {theme} theme',
                        ':class: picture',
                        '```',
                        '',
                    ]
        return lines


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known."""
    app.add_directive('model-card', ModelCard)
    app.add_directive('int8-bounds', Int8Bounds)
    app.add_directive('figures', Figures)
    app.add_directive('gallery', Gallery)
    app.add_directive('states', States)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
