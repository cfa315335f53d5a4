"""Let results follow landmarks, and make more of a match, without a run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.io.landmarks_csv import Landmarks
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.request import Outcome, Report, Request
from napari_samnet.plugin.run.cache import CorrespondenceCache
from napari_samnet.plugin.run.job import run_steps
from napari_samnet.plugin.run.tasks import Task
from napari_samnet.plugin.transfer.control import Control, DockParts
from napari_samnet.plugin.transfer.matches import PairKey
from napari_samnet.plugin.transfer.showing import Showing


class Bending(Control):
    """Makes results anew where landmarks have changed.

    ``landmarks``: gives the landmarks of a request as they are now.
    """

    def __init__(
        self,
        dock: DockParts,
        cache: CorrespondenceCache,
        showing: Showing,
        landmarks: Callable[
            [Request], Mapping[tuple[Index, Index], Landmarks]
        ],
    ) -> None:
        super().__init__(dock)
        self._cache = cache
        self._showing = showing
        self._landmarks = landmarks
        self._waiting: set[PairKey] = set()
        self._tasks.idle.connect(self._waiting.clear)

    def bend(self, key: PairKey) -> None:
        """Bend the match of a pair of planes, and its results with it.

        ``key``: identities of the images, and their planes. Landmarks that
        change before it begins are taken into account.
        """
        if key in self._waiting:
            return
        self._waiting.add(key)
        self._add(key, 'Bending the match', self._quick)

    def make_more(self, request: Request) -> None:
        """Make further results of matches that are there.

        ``request``: what is wanted; only pairs of planes that were matched are
        used. Raises InputError if none of them was.
        """
        known = {
            planes: matched.unbent
            for planes, matched in self._matches.of(request).items()
        }
        if not known:
            raise InputError(
                'there is no match to make more of: Run matches these images'
            )
        request = replace(
            request,
            pairs=[pair for pair in request.pairs if pair.planes in known],
            several=request.has_planes,
            landmarks=self._landmarks(request),
        )
        make = partial(_added, request, self._cache, known=known)
        done = partial(self._show_added, request)
        self._tasks.add(Task('Adding', make, done))

    def _show_added(self, request: Request, outcome: Outcome) -> Iterator[Any]:
        for layer in self._showing.show_more(request, outcome):
            layer.visible = True
            yield layer

    def _add(
        self,
        key: PairKey,
        title: str,
        choose: Callable[[Request], Request | None],
    ) -> None:
        """Make some results of a match anew, when their turn comes."""
        requests: list[Request] = []
        quick = choose == self._quick

        def make(stop: Event) -> Generator[Report, None, Outcome]:
            if quick:
                self._waiting.discard(key)
            matched = self._matches.get(key)
            request = None
            if matched is not None:
                request = matched.request_again(
                    lambda name: self._results.find(name) is not None
                )
            if request is not None:
                request = choose(request)
            if matched is None or request is None or key in self._waiting:
                return _nothing()
            request = replace(request, landmarks=self._landmarks(request))
            requests.append(request)
            known = {(key[2], key[3]): matched.unbent}
            return _with_text(
                run_steps(request, self._cache, stop, known=known)
            )

        def done(outcome: Outcome) -> Iterator[Any]:
            if not requests:
                return
            if not quick:
                yield from self._showing.show_more(requests[0], outcome)
                return
            yield from self._showing.show(requests[0], None, outcome)
            self._add(key, 'Repainting', self._slow)

        self._tasks.add(Task(title, make, done, quiet=not quick))

    @staticmethod
    def _quick(request: Request) -> Request:
        """All but the repainted image, which takes longer than the rest."""
        return replace(request, outputs=request.outputs - {'transferred'})

    @staticmethod
    def _slow(request: Request) -> Request | None:
        """The repainted image alone, if there is one."""
        if 'transferred' not in request.outputs:
            return None
        return replace(request, masks=(), outputs=frozenset({'transferred'}))


def _added(
    request: Request,
    cache: CorrespondenceCache,
    stop: Event,
    *,
    known: Mapping[tuple[Index, Index], Correspondence],
) -> Generator[Report, None, Outcome]:
    """Make further results, and name them."""
    outcome = yield from run_steps(request, cache, stop, known=known)
    names = ', '.join(repr(product.name) for product in outcome.products)
    text = f'Added {names}' if names else 'Nothing was added'
    return replace(outcome, text=text)


def _with_text(
    steps: Generator[Report, None, Outcome],
) -> Generator[Report, None, Outcome]:
    """Say how landmarks were met, instead of how a match has ended."""
    outcome = yield from steps
    about = {} if outcome.last is None else outcome.last.metadata
    met = about.get('landmarks', {}).get('met', [])
    if not met:
        text = 'No landmarks: the match as it was found'
    elif all(met):
        text = f'The match meets {len(met)} landmark{"s" * (len(met) > 1)}'
    else:
        text = (
            f'The match meets {sum(met)} of {len(met)} landmarks; a cross '
            'marks those that contradict their neighbors'
        )
    if about.get('landmarks', {}).get('restarted'):
        text += '. They contradict the match: Run matches again from them'
    return replace(outcome, text=text)


def _nothing() -> Generator[Report, None, Outcome]:
    """End at once: the pair is gone."""
    yield from ()
    return Outcome((), {}, False, '')
