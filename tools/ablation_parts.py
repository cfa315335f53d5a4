"""Every part on every set: which are measured, kept between runs, and shown.

Used by :mod:`ablation`. A set whose result is there already, of the same
weights, rows and number of pairs, is not measured again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from napari_samnet.evaluation.interfaces import Answer, Pair
from napari_samnet.evaluation.methods.base import Samnet
from napari_samnet.files import write_text
from napari_samnet.runtime.weights import get_weights, read_model, save_model
from napari_samnet.samnet.matching import ResidualMatching
from napari_samnet.samnet.network import SAMNet

#: Options that leave out or change a part, by what the row says.
PARTS = {
    'round windows': 'alikeness=0',
    'one motion': 'motions=1',
    'upright': 'orientation=upright',
    'no fine level': 'fine=false',
    'no candidates': 'candidates=false',
    'no attributes': 'attributes=false',
    'λ to 1': 'lambda_max=1',
    **{
        f'iterations: {count}': f'iterations={count},tolerance=0'
        for count in (1, 2, 3, 5, 10)
    },
}


@dataclass(frozen=True)
class MeasuredSet:
    """Pairs on which the parts are measured."""

    #: Protocol or data set, as of benchmark.
    name: str
    #: Pairs that are taken by default.
    pairs: int
    #: Scores that the table shows.
    scores: tuple[str, ...]
    #: What they are called there.
    heading: str


#: Sets beside each other in a table.
ABREAST = 5

_PCK = ('pck@0.05', 'pck@0.10', 'pck@0.15')

SETS = (
    MeasuredSet('pf-willow', 30, _PCK, 'PCK .05/.10/.15'),
    MeasuredSet('animal-pose-left-out', 20, _PCK, 'PCK .05/.10/.15'),
    MeasuredSet('mouse', 22, _PCK, 'PCK .05/.10/.15'),
    MeasuredSet('tss', 6, ('t5',), 'T5'),
    MeasuredSet('histology', 8, ('rtre',), 'rTRE'),
    MeasuredSet('synthetic', 8, ('epe',), 'EPE, px'),
    MeasuredSet(
        'objects', 12, ('epe_inside', 'epe_outside'), 'EPE inside/outside, px'
    ),
    MeasuredSet('weizmann', 16, ('iou', 'boundary_f'), 'IoU/F'),
    MeasuredSet('davis', 16, ('iou', 'boundary_f'), 'IoU/F'),
    MeasuredSet('attributes', 8, ('psnr', 'delta_e'), 'PSNR/ΔE00'),
)


class StartAlone(Samnet):
    """The default without W_G: the field stays where it starts."""

    def trace(self, pair: Pair, iterations: Sequence[int]) -> Answer:
        with _without_matching():
            return super().trace(pair, iterations)


class UnlearnedFit(Samnet):
    """The default with the parameter-free part of W_G alone."""

    def trace(self, pair: Pair, iterations: Sequence[int]) -> Answer:
        with _without_learned():
            return super().trace(pair, iterations)


@contextmanager
def _without_learned() -> Iterator[None]:
    forward = ResidualMatching.forward

    def fit(*given: Any, **how: Any) -> torch.Tensor:
        return forward(*given, **how | {'learned': False})

    with mock.patch.object(ResidualMatching, 'forward', fit):
        yield


@contextmanager
def _without_matching() -> Iterator[None]:
    def stay(_: ResidualMatching, *given: Any, **__: Any) -> torch.Tensor:
        field: torch.Tensor = given[1]
        return torch.zeros_like(field)

    with mock.patch.object(ResidualMatching, 'forward', stay):
        yield


def with_features_before(weights: str, path: Path) -> None:
    """Write a network whose features are as they were before the last lesson.

    ``weights``: a network that still has them, as its likeness, and a network
    for the surroundings beside what it matches in.
    ``path``: file of the new network.
    """
    whole = read_model(get_weights(weights).path)
    likeness = whole.features.likeness
    if likeness is None:
        raise ValueError(f'{weights} has no features of before')
    model = SAMNet(
        replace(
            whole.config,
            projection=whole.config.likeness,
            context=0,
            taught_blocks=False,
            likeness=whole.config.likeness,
        )
    )
    state = {
        name: value
        for name, value in whole.state_dict().items()
        if not name.startswith(('features.context', 'features.taught'))
    }
    model.load_state_dict(state | {'features.projection': likeness})
    save_model(model, path)


def kept(
    folder: Path,
    chosen: MeasuredSet,
    about: Mapping[str, Any],
    measure: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """Result of a set, measured if it is not there.

    ``folder``: holds a JSON file for each set.
    ``about``: what the result depends on.
    """
    path = folder / f'{chosen.name}.json'
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
        if found.get('about') == about:
            return found
    result = {**measure(), 'about': dict(about)}
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(result, indent=1))
    return result


def whole_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a row for each method, a column for each set."""
    sets = [chosen for chosen in SETS if chosen.name in results]
    tables = [
        _table(sets[first : first + ABREAST], results)
        for first in range(0, len(sets), ABREAST)
    ]
    return '\n'.join(tables)


def _table(
    sets: Sequence[MeasuredSet], results: Mapping[str, Mapping[str, Any]]
) -> str:
    heads = [
        f'{chosen.name}, {results[chosen.name]["pairs"]}: {chosen.heading}'
        for chosen in sets
    ]
    titles = dict.fromkeys(
        title for chosen in sets for title in results[chosen.name]['methods']
    )
    lines = [f'| | {" | ".join(heads)} |', '|---' * (len(sets) + 1) + '|']
    for title in titles:
        cells = [
            _cell(
                results[chosen.name]['methods'].get(title, {}), chosen.scores
            )
            for chosen in sets
        ]
        lines.append(f'| {" | ".join((title, *cells))} |')
    return '\n'.join([*lines, ''])


def _cell(row: Mapping[str, Any], scores: Sequence[str]) -> str:
    found = [row[score] for score in scores if row.get(score) is not None]
    return ' / '.join(_short(value) for value in found)


def _short(value: float) -> str:
    """Three digits behind the point, fewer of large numbers."""
    if abs(value) >= 1:
        return f'{value:.3g}'
    text = f'{value:.4f}' if abs(value) < 0.1 else f'{value:.3f}'
    return text.removeprefix('0')
