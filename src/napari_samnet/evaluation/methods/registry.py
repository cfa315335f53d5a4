"""The methods that can be measured, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

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


@dataclass(frozen=True)
class _Setup:
    """What a method may be made from."""

    options: MatchOptions

    @property
    def size(self) -> int:
        return self.options.size


def _baseline(name: str) -> Callable[[_Setup], Method]:
    def make(setup: _Setup) -> Method:
        from napari_samnet.evaluation.methods.dense_flow import DenseFlow

        return DenseFlow(name, size=setup.size)

    return make


def _learned(name: str) -> Callable[[_Setup], Method]:
    def make(setup: _Setup) -> Method:
        from napari_samnet.evaluation.methods.features import FeatureMatching

        return FeatureMatching(name, setup.options)

    return make


def _color(name: str) -> Callable[[_Setup], Method]:
    def make(_: _Setup) -> Method:
        from napari_samnet.evaluation.methods.color import ColorTransfer

        return ColorTransfer(name)

    return make


#: Methods that find a field, in the order in which they are shown.
METHODS: dict[str, Callable[[_Setup], Method]] = {
    'samnet': lambda setup: Samnet('samnet', setup.options),
    'identity': lambda _: Identity(),
    'nearest': _learned('nearest'),
    'affine': _learned('affine'),
    'tvl1': _baseline('tvl1'),
    'ilk': _baseline('ilk'),
    'dis': _baseline('dis'),
    'elastix': _baseline('elastix'),
}

#: Methods that only make a transferred image.
COLOR_METHODS: dict[str, Callable[[_Setup], Method]] = {
    'warp': lambda setup: PlainWarp(setup.options),
    'reinhard': _color('reinhard'),
    'histogram': _color('histogram'),
    'macenko': _color('macenko'),
    'transport': _color('transport'),
}

#: Parts of the network's own method, the paper's method, and what needs a
#: package that no extra installs, run where they are asked for by name.
PARTS: dict[str, Callable[[_Setup], Method]] = {
    'with-labels': lambda setup: WithLabels(setup.options),
    'pairwise': lambda setup: Pairwise(setup.options),
    'fast': lambda setup: Samnet('fast', setup.options, fast=True),
    'field': lambda setup: Samnet(
        'field', replace(setup.options, evidence=False, outlines=False)
    ),
    'paper': lambda setup: Samnet('paper', replace(setup.options, **PAPER)),
    'vahadane': _color('vahadane'),
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
    setup = _Setup(options)
    wanted: list[str] = []
    for name in names:
        wanted += [*known, *networks] if name == 'all' else [name]
    methods: list[Method] = []
    for name in dict.fromkeys(wanted):
        if name in known or name in PARTS:
            methods.append({**known, **PARTS}[name](setup))
        elif name in networks:
            methods.append(Samnet(name, replace(options, weights=name)))
        else:
            raise InputError(
                f'method must be one of '
                f'{", ".join((*known, *PARTS, *networks))} or all, got '
                f'{name!r}'
            )
    return methods
