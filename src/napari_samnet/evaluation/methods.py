"""The methods that can be measured, by name."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import (
    Answer,
    IterativeMethod,
    Method,
    Pair,
)
from napari_samnet.parameters import DEFAULTS, MatchOptions

__all__ = [
    'COLOUR_METHODS',
    'METHODS',
    'PARTS',
    'Identity',
    'PlainWarp',
    'Samnet',
    'from_fields',
    'get_methods',
    'require',
]

Field = NDArray[np.floating]


def require(module: str, package: str, method: str) -> ModuleType:
    """Import an optional package.

    Raises
    ------
    InputError
        If it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f'method {method!r} needs {package}; install it with: '
            f"pip install 'napari-samnet[bench]'"
        ) from None


def from_fields(
    pair: Pair,
    forward: Field,
    backward: Field,
    transferred: NDArray[np.float32] | None = None,
) -> Correspondence:
    """Correspondence of two fields in normalised units, fully confident."""
    return Correspondence(
        forward=np.asarray(forward, np.float32),
        backward=np.asarray(backward, np.float32),
        forward_confidence=np.ones(forward.shape[:2], np.float32),
        backward_confidence=np.ones(backward.shape[:2], np.float32),
        source_shape=(pair.source.shape[0], pair.source.shape[1]),
        target_shape=(pair.target.shape[0], pair.target.shape[1]),
        transferred=transferred,
        metadata={},
    )


class Identity(Method):
    """No warp: normalised coordinates are kept, and the source's colours."""

    name = 'identity'

    def answer(self, pair: Pair) -> Answer:
        still = np.zeros((2, 2, 2), np.float32)
        return Answer(from_fields(pair, still, still, np.array(pair.source)))


class Samnet(IterativeMethod):
    """The network with given options.

    Parameters
    ----------
    name : str
        Name in the results.
    options : MatchOptions
        All of its parameters.
    """

    packages = ('torch', 'safetensors')

    def __init__(
        self, name: str = 'samnet', options: MatchOptions = DEFAULTS
    ) -> None:
        self.name = name
        self.options = options

    def prepare(self) -> None:
        from napari_samnet.samnet.weights import get_weights

        self._weights = get_weights(self.options.weights)
        # The first run loads the network and lets torch choose its kernels.
        grey = np.full((32, 32, 3), 0.5, np.float32)
        self.answer(Pair('', '', grey, grey, None))

    def details(self) -> dict[str, Any]:
        return {
            'weights': {
                'name': self._weights.name,
                'sha256': self._weights.sha256,
            },
            'options': asdict(self.options),
        }

    def answer(self, pair: Pair) -> Answer:
        return self.trace(pair, ())

    def trace(self, pair: Pair, iterations: Sequence[int]) -> Answer:
        from napari_samnet.matching import match_steps

        steps = match_steps(pair.source, pair.target, self.options)
        partial: dict[int, Correspondence] = {}
        paused = 0.0
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                result: Correspondence = end.value
                break
            if step.snapshot is not None and step.index in iterations:
                start = time.perf_counter()
                partial[step.index] = step.snapshot()
                paused += time.perf_counter() - start
        # A run that has converged would not move any more.
        for count in iterations:
            partial.setdefault(count, result)
        return Answer(result, partial=partial, paused=paused)


class PlainWarp(Method):
    """The network's field with the target's own pixels as its image."""

    name = 'warp'
    packages = ('torch', 'safetensors')

    def __init__(self, options: MatchOptions) -> None:
        self._network = Samnet(self.name, options)

    def prepare(self) -> None:
        self._network.prepare()

    def details(self) -> dict[str, Any]:
        return self._network.details()

    def answer(self, pair: Pair) -> Answer:
        found = self._network.answer(pair).correspondence
        return Answer(replace(found, transferred=None))


@dataclass(frozen=True)
class _Setup:
    """What a method may be made from."""

    options: MatchOptions

    @property
    def size(self) -> int:
        return self.options.size


def _baseline(name: str) -> Callable[[_Setup], Method]:
    def make(setup: _Setup) -> Method:
        from napari_samnet.evaluation import baselines

        return baselines.DenseFlow(name, size=setup.size)

    return make


def _learned(name: str) -> Callable[[_Setup], Method]:
    def make(setup: _Setup) -> Method:
        from napari_samnet.evaluation import learned

        return learned.FeatureMatching(name, setup.options)

    return make


def _colour(name: str) -> Callable[[_Setup], Method]:
    def make(_: _Setup) -> Method:
        from napari_samnet.evaluation import colour

        return colour.ColourTransfer(name)

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
COLOUR_METHODS: dict[str, Callable[[_Setup], Method]] = {
    'warp': lambda setup: PlainWarp(setup.options),
    'reinhard': _colour('reinhard'),
    'histogram': _colour('histogram'),
}

#: Parts of the network's own method, run where they are asked for by name.
PARTS: dict[str, Callable[[_Setup], Method]] = {
    'field': lambda setup: Samnet('field', replace(setup.options, vote=False)),
}


def get_methods(
    names: Sequence[str],
    options: MatchOptions = DEFAULTS,
    *,
    colour: bool = False,
) -> list[Method]:
    """Make methods by name.

    Parameters
    ----------
    names : sequence of str
        Keys of `METHODS` (and of `COLOUR_METHODS` with `colour`), names of
        packaged weights, ``'all'`` of these, or keys of `PARTS`.
    options : MatchOptions
        Working size and network parameters. A method named after packaged
        weights runs with those.
    colour : bool
        Whether methods that find no field may take part.

    Returns
    -------
    list of Method
        In the order asked for, each once.

    Raises
    ------
    InputError
        If there is no such method.
    """
    from napari_samnet.samnet.weights import available_weights

    known = {**METHODS, **(COLOUR_METHODS if colour else {})}
    networks = [name for name in available_weights() if name not in known]
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
