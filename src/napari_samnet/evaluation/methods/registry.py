"""The methods that can be measured, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from napari_samnet.errors import InputError
from napari_samnet.evaluation.interfaces import Method
from napari_samnet.evaluation.methods.base import (
    Identity,
    Pairwise,
    PlainWarp,
    Samnet,
    WithLabels,
)
from napari_samnet.options import DEFAULTS, PAPER, MatchOptions


def _baseline(name: str, options: MatchOptions) -> Method:
    from napari_samnet.evaluation.methods.dense_flow import DenseFlow

    return DenseFlow(name, size=options.size)


def _learned(name: str, options: MatchOptions) -> Method:
    from napari_samnet.evaluation.methods.features import FeatureMatching

    return FeatureMatching(name, options)


def _color(name: str, options: MatchOptions) -> Method:  # noqa: ARG001
    from napari_samnet.evaluation.methods.color import ColorTransfer

    return ColorTransfer(name)


Make = Callable[[MatchOptions], Method]

#: Methods that find a field, in the order in which they are shown.
METHODS: dict[str, Make] = {
    'samnet': lambda options: Samnet('samnet', options),
    'identity': lambda _: Identity(),
    'nearest': partial(_learned, 'nearest'),
    'affine': partial(_learned, 'affine'),
    'tvl1': partial(_baseline, 'tvl1'),
    'ilk': partial(_baseline, 'ilk'),
    'dis': partial(_baseline, 'dis'),
    'elastix': partial(_baseline, 'elastix'),
}

#: Methods that only make a transferred image.
COLOR_METHODS: dict[str, Make] = {
    'warp': lambda options: PlainWarp(options),
    'reinhard': partial(_color, 'reinhard'),
    'histogram': partial(_color, 'histogram'),
    'macenko': partial(_color, 'macenko'),
    'transport': partial(_color, 'transport'),
}

#: Parts of the network's own method, the paper's method, and what needs a
#: package that no extra installs, run where they are asked for by name.
PARTS: dict[str, Make] = {
    'with-labels': lambda options: WithLabels(options),
    'pairwise': lambda options: Pairwise(options),
    'fast': lambda options: Samnet('fast', options, fast=True),
    'field': lambda options: Samnet(
        'field', replace(options, evidence=False, outlines=False)
    ),
    'paper': lambda options: Samnet('paper', replace(options, **PAPER)),
    'vahadane': partial(_color, 'vahadane'),
}


def get_methods(
    names: Sequence[str],
    options: MatchOptions = DEFAULTS,
    *,
    color: bool = False,
) -> list[Method]:
    """Make methods by name.

    ``names``: keys of `METHODS` (and of `COLOR_METHODS` with `color`), names
    of packaged weights, ``'all'`` of these, or keys of `PARTS`.
    ``options``: working size and network parameters. A method named after
    packaged weights runs with those.
    Raises InputError if there is no such method.
    """
    from napari_samnet.runtime.weights import available_weights

    known = {**METHODS, **(COLOR_METHODS if color else {})}
    networks = [
        name
        for name in available_weights()
        if name not in known and name not in PARTS
    ]
    wanted: list[str] = []
    for name in names:
        wanted += [*known, *networks] if name == 'all' else [name]
    methods: list[Method] = []
    for name in dict.fromkeys(wanted):
        if name in known or name in PARTS:
            methods.append({**known, **PARTS}[name](options))
        elif name in networks:
            methods.append(Samnet(name, replace(options, weights=name)))
        else:
            raise InputError(
                f'method must be one of '
                f'{", ".join((*known, *PARTS, *networks))} or all, got '
                f'{name!r}'
            )
    return methods
