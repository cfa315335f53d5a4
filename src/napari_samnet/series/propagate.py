"""Carry labels of some planes to all others of a film or stack.

Every plane asks all that is remembered: the annotated planes around it, and
the last results on the way there. What is not seen in a plane gets no label;
where a picture has nothing in common with what came before it, the chain
ends, and each plane says how it went.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_samnet.errors import InputError
from napari_samnet.options import DEFAULTS, MatchOptions
from napari_samnet.series.encode import EncodedPlane, PlaneEncoder
from napari_samnet.series.evidence import (
    Reference,
    carried_back,
    compare,
    gather_evidence,
    label_shares,
    likeness,
)
from napari_samnet.series.memory import Memory
from napari_samnet.series.outlines import labels_from_evidence
from napari_samnet.series.rigid import Followed, follow_label
from napari_samnet.series.schedule import Chain, Direction, plan_chains
from napari_samnet.series.verdicts import PlaneReport

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ['PlaneResult', 'Series', 'propagate', 'propagate_steps']

#: Planes that are less alike than this do not belong to one shot. Among the
#: stored frames of eight films of DAVIS 2016 neighbors are at .765 or more,
#: frames of different films at .758 or less.
SAME_SHOT = 0.76

#: A plane with less than this share of the sharpness is blurred.
BLURRED = 0.5

#: Labels of which less than this share is found again are to be looked at,
#: and are not remembered.
WEAK_QUALITY = 0.5

#: Evidence that a label needs in its best cell to be seen at all.
LEAST_PEAK = 0.5

#: Planes behind an unlike one that are looked at before a chain ends there.
LOOK_AHEAD = 2

#: Encoded planes held besides the memory.
HELD = 4


@dataclass(frozen=True, eq=False)
class PlaneResult:
    """Labels of one plane, and how they came about.

    Parameters
    ----------
    labels : ndarray, shape (H, W)
        Ids in the dtype of the annotations; 0 where there are none.
    report : PlaneReport
        How it went on this plane.
    done, total : int
        Planes visited so far, and planes to visit.
    """

    labels: npt.NDArray[Any]
    report: PlaneReport
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Series:
    """Labels of all planes of a film or stack.

    Parameters
    ----------
    labels : ndarray, shape (T, H, W)
        The annotated planes as they were given, the carried labels on the
        others; 0 on planes that were not reached.
    reports : tuple of PlaneReport
        One for each plane that was visited or is annotated, in their order.
    """

    labels: npt.NDArray[Any]
    reports: tuple[PlaneReport, ...]


class _Planes:
    """Encoded planes, of which the last few are held."""

    def __init__(
        self, read: Callable[[int], Any], encoder: PlaneEncoder
    ) -> None:
        self._read = read
        self._encoder = encoder
        self._held: OrderedDict[int, EncodedPlane] = OrderedDict()

    def __call__(self, index: int) -> EncodedPlane:
        """Encode a plane, or recall it."""
        if index not in self._held:
            self._held[index] = self._encoder(self._read(index))
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        return self._held[index]


@dataclass(eq=False)
class _Compared:
    """A plane beside the references of its shot."""

    plane: EncodedPlane
    references: list[Reference]
    cosines: list[Tensor]
    likenesses: list[float]

    @property
    def best(self) -> float:
        """Likeness with the most similar reference."""
        return max(self.likenesses, default=0.0)

    def of_same_shot(self) -> _Compared:
        """Without references that are unlike the plane."""
        kept = [
            k for k, like in enumerate(self.likenesses) if like >= SAME_SHOT
        ]
        return _Compared(
            self.plane,
            [self.references[place] for place in kept],
            [self.cosines[place] for place in kept],
            [self.likenesses[place] for place in kept],
        )


class _Propagation:
    """One run: what is known, what is remembered, and how a plane is done."""

    def __init__(
        self,
        planes: _Planes,
        memory: Memory,
        ids: npt.NDArray[Any],
        annotated: Collection[int],
    ) -> None:
        self._planes = planes
        self._memory = memory
        self._ids = ids
        self._annotated = annotated

    def chain(
        self, chain: Chain
    ) -> Generator[tuple[npt.NDArray[Any] | None, PlaneReport], None, None]:
        """Visit the planes of a chain, one after the other."""
        self._memory.start()
        for place, index in enumerate(chain.planes):
            compared = self._compared(index)
            if compared.best < SAME_SHOT:
                ahead = chain.planes[place + 1 : place + 1 + LOOK_AHEAD]
                if self._goes_on(ahead):
                    yield None, self._unlike(index, chain, compared, 'skipped')
                    continue
                for rest in chain.planes[place:]:
                    report = self._unlike(rest, chain, compared, 'ended')
                    if rest != index:
                        reason = f'behind the cut at plane {index}'
                        report = replace(report, reason=reason, similarity=0.0)
                    yield None, report
                return
            yield self._carry(index, chain, compared.of_same_shot())

    def _compared(self, index: int) -> _Compared:
        """Compare a plane with all that is remembered."""
        plane = self._planes(index)
        references = [*self._memory.around(index), *self._memory.recent]
        cosines = [compare(plane, r.plane) for r in references]
        likenesses = [
            likeness(plane, r.plane, cosine)
            for r, cosine in zip(references, cosines, strict=True)
        ]
        return _Compared(plane, references, cosines, likenesses)

    def _goes_on(self, ahead: Sequence[int]) -> bool:
        """Whether a plane further on looks like those before again."""
        return any(self._compared(p).best >= SAME_SHOT for p in ahead)

    def _unlike(
        self, index: int, chain: Chain, compared: _Compared, state: Any
    ) -> PlaneReport:
        if state == 'skipped':
            reason = (
                'unlike the planes before and behind it (blank or damaged?); '
                'left out'
            )
        else:
            reason = (
                'the picture changes here (a cut?); no labels from here on'
            )
        return PlaneReport(
            index,
            state,
            reason,
            similarity=compared.best,
            missing=tuple(self._ids.tolist()),
            source=chain.source,
        )

    def _carry(
        self, index: int, chain: Chain, compared: _Compared
    ) -> tuple[npt.NDArray[Any], PlaneReport]:
        """Find the labels of one plane."""
        plane, references = compared.plane, compared.references
        top = compared.best
        evidence = gather_evidence(
            plane,
            references,
            compared.cosines,
            biases=[LIKENESS_BIAS * (x - top) for x in compared.likenesses],
        )
        seen = evidence.reshape(len(evidence), -1).max(1) >= LEAST_PEAK
        evidence[~seen] = 0
        places = labels_from_evidence(evidence, plane.shape)
        self._follow(compared, places)
        count = len(self._ids)
        area = np.bincount(places.ravel(), minlength=count + 1)[1:]
        shares = label_shares(places, count, plane.cells)
        quality = self._quality(compared, shares)
        missing = self._ids[area == 0]
        sharp = [r.plane.sharpness for r in references if r.annotated]
        blurred = bool(sharp) and plane.sharpness < BLURRED * min(sharp)
        report = self._report(
            index, chain, compared, quality, missing, blurred=blurred
        )
        if not blurred and quality >= WEAK_QUALITY:
            self._memory.remember(index, plane, places)
        everything = np.concatenate([[0], self._ids]).astype(self._ids.dtype)
        return everything[places], report

    def _follow(
        self, compared: _Compared, places: npt.NDArray[np.int32]
    ) -> None:
        """Move labels exactly whose pixels are found again; in place."""
        plane = compared.plane
        after = plane.picture
        shape = after.shape[:2]
        here = _on_grid(places, shape)
        margin = FOLLOW_MARGIN * after.shape[0] // plane.cells[0]
        latest = self._memory.recent[:1]
        drawn = [r for r in compared.references if r.annotated][:1]
        befores = [(r, _on_grid(r.labels, shape)) for r in [*drawn, *latest]]
        found: dict[int, Followed] = {}
        for label in range(1, len(self._ids) + 1):
            around = here == label
            for reference, before in befores:
                if not reference.annotated:
                    around = around | (before == label)
            for reference, before in befores:
                result = follow_label(
                    reference.plane.picture,
                    before == label,
                    after,
                    around,
                    margin=margin,
                )
                if result is not None:
                    found[label] = result
                    break
        for label in found:
            places[places == label] = 0
        for label in sorted(found, key=lambda key: found[key].fit):
            places[_on_grid(found[label].mask, plane.shape)] = label

    def _quality(self, compared: _Compared, shares: Any) -> float:
        """Share of the annotated labels that is found again, over labels."""
        found = [
            carried_back(reference, shares, cosines)
            for reference, cosines in zip(
                compared.references, compared.cosines, strict=True
            )
            if reference.annotated
        ]
        if not found:
            return 0.0
        present = shares.sum(0) > 0
        values = np.stack(found)[:, present]
        if not np.isfinite(values).any():
            return 0.0
        best = np.nanmax(np.where(np.isfinite(values), values, -1), 0)
        return float(best[best >= 0].mean()) if (best >= 0).any() else 0.0

    def _report(
        self,
        index: int,
        chain: Chain,
        compared: _Compared,
        quality: float,
        missing: npt.NDArray[Any],
        *,
        blurred: bool,
    ) -> PlaneReport:
        state: Any = 'good'
        reason = ''
        if len(missing) == len(self._ids):
            state = 'empty'
            reason = 'nothing that was annotated is seen here'
        elif blurred:
            state = 'look'
            reason = 'blurred'
        elif quality < WEAK_QUALITY:
            state = 'look'
            reason = 'carried back, the labels do not meet the annotated ones'
        elif len(missing):
            state = 'look'
            reason = f'not seen here: id {", ".join(map(str, missing[:8]))}'
        return PlaneReport(
            index,
            state,
            reason,
            quality=quality,
            similarity=compared.best,
            missing=tuple(missing.tolist()),
            source=chain.source,
        )


def _on_grid(
    values: npt.NDArray[Any], shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Nearest values on another grid."""
    if values.shape == tuple(shape):
        return values
    rows, columns = (
        (np.arange(new) + 0.5) * old // new
        for old, new in zip(values.shape, shape, strict=True)
    )
    return values[np.ix_(rows.astype(np.intp), columns.astype(np.intp))]


#: Cells around the evidence in which the pixels of a label are looked for.
FOLLOW_MARGIN = 2

#: How much less a reference is believed, in cosine per likeness, for being
#: less like the plane than the one most like it.
LIKENESS_BIAS = 0.2


def propagate_steps(
    read: Callable[[int], Any],
    length: int,
    annotations: Mapping[int, npt.NDArray[Any]],
    options: MatchOptions = DEFAULTS,
    *,
    ids: Collection[int] | None = None,
    start: int | None = None,
    direction: Direction = 'both',
    skip: Collection[int] = (),
    channel_axis: int | None = None,
) -> Generator[PlaneResult, None, None]:
    """Carry labels plane by plane; see :func:`propagate`.

    Parameters
    ----------
    read : callable
        Takes the index of a plane, returns its pixels.
    length : int
        Number of planes in the series.
    annotations : mapping of int to ndarray of int
        Labels by plane. Planes without labels are left out.
    options : MatchOptions
        Working size, device, precision, backend and weights are used.
    ids, start, direction
        The same as in :func:`propagate`.
    skip : collection of int
        Planes that are not visited, such as locked ones.
    channel_axis : int, optional
        The same as in :func:`propagate`.

    Yields
    ------
    PlaneResult
        One for each plane that was visited, as it is done. The generator may
        be closed between any two.

    Raises
    ------
    InputError
        If there is nothing to carry, or something does not fit.
    """
    drawn, names, known = _prepared(annotations, ids)
    chains = plan_chains(
        length, drawn, start=start, direction=direction, skip=skip
    )
    total = sum(len(chain.planes) for chain in chains)
    planes = _Planes(read, PlaneEncoder(options, channel_axis))
    first = chains[0].source if chains else min(drawn)
    shape = planes(first).shape
    for index, labels in drawn.items():
        if labels.shape != shape:
            raise InputError(
                f'labels of plane {index} have shape {labels.shape}, the '
                f'planes {shape}'
            )
    memory = Memory(planes, drawn, known, len(names))
    run = _Propagation(planes, memory, names, drawn)
    done = 0
    for chain in chains:
        for found, report in run.chain(chain):
            done += 1
            result = np.zeros(shape, names.dtype) if found is None else found
            yield PlaneResult(result, report, done, total)


def _prepared(
    annotations: Mapping[int, npt.NDArray[Any]], ids: Collection[int] | None
) -> tuple[
    dict[int, npt.NDArray[np.int32]],
    npt.NDArray[Any],
    dict[int, npt.NDArray[np.bool_]],
]:
    """Annotations as places in a list of ids, the list, and who knows it."""
    present = {i: np.unique(labels) for i, labels in annotations.items()}
    dtype = np.result_type(*present.values()) if present else np.uint8
    names = np.unique(np.concatenate([*present.values(), [0]]))
    names = names[names != 0]
    if ids is not None:
        wanted = np.array(sorted(set(ids)))
        names = names[np.isin(names, wanted)]
    if not names.size:
        raise InputError(
            'there are no labels to carry'
            + ('' if ids is None else f' with the ids {sorted(ids)}')
        )
    drawn, known = {}, {}
    for index, labels in annotations.items():
        here = np.isin(names, present[index])
        if here.any():
            place = np.searchsorted(names, labels).clip(0, names.size - 1)
            same = names[place] == labels
            drawn[index] = np.where(same, place + 1, 0).astype(np.int32)
            known[index] = here
    return drawn, names.astype(dtype), known


def propagate(
    planes: Any,
    annotations: Any,
    *,
    ids: Collection[int] | None = None,
    start: int | None = None,
    direction: Direction = 'both',
    size: int = DEFAULTS.size,
    device: str = DEFAULTS.device,
    precision: str = DEFAULTS.precision,
    backend: str = DEFAULTS.backend,
    weights: str = DEFAULTS.weights,
    channel_axis: int | None = None,
    on_plane: Callable[[PlaneResult], object] | None = None,
) -> Series:
    """Carry the labels of some planes to all others of a film or stack.

    Parameters
    ----------
    planes : array_like or sequence
        The film: shape (T, H, W) or (T, H, W, 3), in memory or lazy, or a
        sequence of images of one size. One plane is read at a time.
    annotations : ndarray of int, shape (T, H, W), or mapping of int to ndarray
        Labels of the annotated planes. Of an array, every plane with a label
        counts as annotated.
    ids : collection of int, optional
        The only labels to carry. By default all are.
    start : int, optional
        Annotated plane to go out from: 'forwards' then means the planes
        behind it, 'backwards' those before it.
    direction : {'both', 'forwards', 'backwards'}
        Whether labels go to later planes, to earlier ones or to both.
    size : int
        Shorter side in pixels at which the network sees the planes. Larger
        finds smaller things and takes longer.
    device, precision, backend, weights : str
        The same as in :class:`~napari_samnet.MatchOptions`.
    channel_axis : int, optional
        Axis of the channels in one plane, where it is not the last of an RGB
        image.
    on_plane : callable, optional
        Called with a :class:`PlaneResult` after each plane. If it returns
        True, the rest is left empty.

    Returns
    -------
    Series
        Labels of all planes and a report on each.

    Raises
    ------
    InputError
        If there is nothing to carry, or something does not fit.

    References
    ----------
    .. [1] Jabri, Owens, Efros. Space-Time Correspondence as a Contrastive
       Random Walk. NeurIPS 2020. arXiv:2006.14613

    Examples
    --------
    >>> import numpy as np
    >>> from napari_samnet import propagate
    >>> plane = np.random.default_rng(0).random((64, 64, 3))
    >>> labels = np.zeros((64, 64), np.uint8)
    >>> labels[16:48, 16:48] = 5
    >>> film = propagate([plane, plane], {0: labels}, size=64)
    >>> film.labels.shape
    (2, 64, 64)
    """
    drawn = _by_plane(annotations, len(planes))
    options = MatchOptions(
        size=size,
        device=device,
        precision=precision,
        backend=backend,
        weights=weights,
        window=3,
    )
    steps = propagate_steps(
        lambda index: np.asarray(planes[index]),
        len(planes),
        drawn,
        options,
        ids=ids,
        start=start,
        direction=direction,
        channel_axis=channel_axis,
    )
    first = next(iter(drawn.values()))
    labels = np.zeros((len(planes), *first.shape), first.dtype)
    reports = {
        index: PlaneReport(index, 'annotated', quality=1.0) for index in drawn
    }
    for index, values in drawn.items():
        labels[index] = values
    for result in steps:
        labels[result.report.index] = result.labels
        reports[result.report.index] = result.report
        if on_plane is not None and on_plane(result) is True:
            steps.close()
            break
    return Series(labels, tuple(reports[index] for index in sorted(reports)))


def _by_plane(annotations: Any, length: int) -> dict[int, npt.NDArray[Any]]:
    """Annotated planes by index."""
    if isinstance(annotations, Mapping):
        drawn = {int(i): np.asarray(x) for i, x in annotations.items()}
    else:
        if len(annotations) != length:
            raise InputError(
                f'annotations must have one plane for each of the {length} '
                f'planes, got {len(annotations)}'
            )
        drawn = {i: np.asarray(annotations[i]) for i in range(length)}
    for index, labels in drawn.items():
        if not 0 <= index < length:
            raise InputError(
                f'annotations name plane {index}, there are planes 0 to '
                f'{length - 1}'
            )
        if labels.dtype.kind not in 'biu' or labels.ndim != 2:
            raise InputError(
                f'annotations of plane {index} must be 2-D whole numbers, '
                f'got {labels.dtype} of shape {labels.shape}'
            )
    drawn = {index: labels for index, labels in drawn.items() if labels.any()}
    if not drawn:
        raise InputError(
            'no plane is annotated: draw labels on at least one plane'
        )
    return drawn
