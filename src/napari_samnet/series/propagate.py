"""Carry labels of some planes to all others of a film or stack.

Every plane asks all that is remembered: the annotated planes around it, and
the last results on the way there. What is not seen in a plane gets no label;
where a picture has nothing in common with what came before it, the chain
ends, and each plane says how it went.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.brief import brief
from napari_samnet.arrays.checks import (
    as_array,
    check_flag,
    check_function,
    check_labels,
)
from napari_samnet.errors import InputError
from napari_samnet.options import DEFAULTS, MatchOptions
from napari_samnet.series.annotations import as_places, by_plane, whole_type
from napari_samnet.series.chain import Propagation
from napari_samnet.series.encode import PlaneEncoder
from napari_samnet.series.held_planes import HeldPlanes
from napari_samnet.series.memory import Memory
from napari_samnet.series.region import Kept, kept_planes
from napari_samnet.series.schedule import Direction, plan_chains
from napari_samnet.series.verdicts import PlaneReport
from napari_samnet.series.working_size import working_size


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

    __repr__ = brief

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

    __repr__ = brief

    labels: npt.NDArray[Any]
    reports: tuple[PlaneReport, ...]


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
    adapt_size: bool = True,
    fast: bool = False,
    kept: Kept | None = None,
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
        Working size, device, precision, backend, weights and outlines are
        used.
    ids, start, direction
        The same as in :func:`propagate`.
    skip : collection of int
        Planes that are not visited, such as locked ones.
    channel_axis : int, optional
        The same as in :func:`propagate`.
    adapt_size : bool
        Take a working size larger than that of the options where labels are
        small, see :func:`.working_size`.
    fast : bool
        The same as in :func:`propagate`.
    kept : callable, optional
        Takes the index of a plane, returns the pixels that count as a bool
        array, (H, W), or None where all of them do.

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
    drawn, names, known = as_places(annotations, ids)
    # Also those that show none of the ids stay as they were given.
    given = {index for index, each in annotations.items() if np.any(each)}
    chains = plan_chains(
        length, drawn, start=start, direction=direction, skip={*skip, *given}
    )
    total = sum(len(chain.planes) for chain in chains)
    if adapt_size:
        size = working_size(drawn.values(), least=options.size)
        options = replace(options, size=size)
    encoder = PlaneEncoder(options, channel_axis, fast=fast)
    planes = HeldPlanes(read, encoder, kept)
    first = chains[0].source if chains else min(drawn)
    shape = planes(first).shape
    for index, labels in drawn.items():
        check_labels(f'labels of plane {index}', labels, shape)
    memory = Memory(planes.closely, drawn, known, len(names))
    run = Propagation(planes, memory, names, outlines=options.outlines)
    done = 0
    for chain in chains:
        for painted, report in run.chain(chain):
            done += 1
            result = (
                np.zeros(shape, names.dtype) if painted is None else painted
            )
            yield PlaneResult(result, report, done, total)


def propagate(
    planes: Any,
    annotations: Any,
    *,
    ids: Collection[int] | None = None,
    start: int | None = None,
    direction: Direction = 'both',
    region: Any = None,
    leave_out: Any = None,
    size: int | None = None,
    outlines: bool = DEFAULTS.outlines,
    fast: bool = False,
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
    region : array_like of bool or int, optional
        The only part in which labels are carried, where it is not 0:
        ``(H, W)`` for all planes, or ``(T, H, W)``.
    leave_out : array_like of bool or int, optional
        A part that gets no labels and leads none elsewhere, in the same
        shapes: damage, or another animal.
    size : int, optional
        Shorter side in pixels at which the network sees the planes. Larger
        finds smaller things and takes longer. By default it is chosen from
        256 to 384, so that the labels are about 20 cells across.
    outlines : bool
        Move outlines to the edges that each plane shows nearby.
    fast : bool
        Describe planes by the light one of the two networks alone. It takes
        a fraction of the time and confuses more of what looks alike.
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
    check_function('on_plane', on_plane)
    check_flag('fast', fast)
    length = _length(planes)
    drawn = by_plane(annotations, length)
    options = MatchOptions(
        size=DEFAULTS.size if size is None else size,
        device=device,
        precision=precision,
        backend=backend,
        weights=weights,
        outlines=outlines,
    )
    steps = propagate_steps(
        lambda index: np.asarray(as_array(planes[index], f'plane {index}')),
        length,
        drawn,
        options,
        ids=ids,
        start=start,
        direction=direction,
        channel_axis=channel_axis,
        adapt_size=size is None,
        fast=fast,
        kept=kept_planes(region, leave_out, length),
    )
    first = next(iter(drawn.values()))
    dtype = whole_type([*drawn.values()])
    labels = np.zeros((length, *first.shape), dtype)
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


def _length(planes: Any) -> int:
    """Number of planes of a film, which has at least one."""
    if isinstance(planes, (str, os.PathLike)):
        raise InputError(
            f'planes must be a film (T, H, W), or a list of images, got the '
            f'path {planes!s}: read it first, with skimage.io.imread, or use '
            f'the command "propagate"'
        )
    shape = getattr(planes, 'shape', None)
    if shape is not None and len(shape) == 2:
        raise InputError(
            f'planes must be a film (T, H, W), or a list of images, got one '
            f'image, of shape {tuple(shape)}'
        )
    try:
        length = len(planes)
    except TypeError:
        length = 0
    if not length:
        raise InputError(
            f'planes must be a film (T, H, W), or a list of images, got '
            f'{"none" if hasattr(planes, "__len__") else repr(planes)}'
        )
    return length
