"""match(source, target): from two images to their correspondence.

Underneath is a generator, :func:`match_steps`, that yields after every
iteration and can be closed between any two: the plugin's worker, the command
line's progress bar and :func:`match` all drive the same one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_samnet.checks import as_array, check_labels
from napari_samnet.colour_detail import transfer_colours
from napari_samnet.colour_model import recoloured
from napari_samnet.correspondence import Correspondence
from napari_samnet.devices import (
    MemoryShortageError,
    Place,
    out_of_memory_explained,
    resolve_place,
    smaller_places,
)
from napari_samnet.engine import (
    FloatArray,
    PairRun,
    Stages,
    directions,
)
from napari_samnet.errors import InputError
from napari_samnet.images import check_image, to_working
from napari_samnet.parameters import DEFAULTS, MatchOptions
from napari_samnet.provenance import circumstances

if TYPE_CHECKING:
    from napari_samnet.samnet.network import Iteration

__all__ = ['Step', 'match', 'match_steps']

#: Pixels per cell at working size.
STRIDE = 8


@dataclass(frozen=True)
class Step:
    """Progress of a match.

    Attributes
    ----------
    index : int
        Iterations done; 0 while preparing.
    total : int
        Largest number of iterations.
    text : str
        What was done or is being done.
    change : float or None
        Mean change of the field in this iteration, in pixels at working
        size; None while preparing.
    snapshot : callable or None
        Gives the :class:`~napari_samnet.Correspondence` so far; None while
        preparing. ``snapshot(transfer=False)`` leaves out the transferred
        image, which takes longer than an iteration.
    """

    index: int
    total: int
    text: str
    change: float | None = None
    snapshot: Callable[..., Correspondence] | None = None


def match_steps(
    source: Any,
    target: Any,
    options: MatchOptions = DEFAULTS,
    *,
    source_channel_axis: int | None = None,
    target_channel_axis: int | None = None,
) -> Generator[Step, None, Correspondence]:
    """Match two images step by step.

    Parameters
    ----------
    source, target : array_like
        2-D images, see :func:`match`.
    options : MatchOptions
        How.
    source_channel_axis, target_channel_axis : int, optional
        Axis of the channels, where it is not the last of an RGB image.

    Yields
    ------
    Step
        Two while preparing, then one per iteration.

    Returns
    -------
    Correspondence
        As the generator's value. Close the generator to stop early, and call
        the last step's `snapshot` for what has been found.

    Raises
    ------
    InputError
        If the images, the options, the weights or the device cannot be used.
    """
    job = _Job(
        source,
        target,
        options,
        {'source': source_channel_axis, 'target': target_channel_axis},
    )
    from napari_samnet.samnet.weights import get_weights

    total = options.iterations
    yield Step(0, total, 'loading the network')
    place = resolve_place(
        options.device,
        options.precision,
        options.backend,
        weights=get_weights(options.weights),
    )
    shortage = ''
    for tried, size in (
        (place, options.size),
        *smaller_places(place, options.size, _least_size(options)),
    ):
        if shortage:
            job.warn(
                f'{shortage.partition(";")[0]}: going on at size {size} on '
                f'{tried.device}'
            )
            yield Step(0, total, job.warnings[-1])
        try:
            return (yield from job.attempt(tried, size))
        except MemoryShortageError as error:
            shortage = str(error)
        job.forget()
    raise MemoryShortageError(shortage)


def _least_size(options: MatchOptions) -> int:
    """Smallest working size that the search window fits in."""
    cells = options.window * (2 if options.coarse_iterations else 1)
    return STRIDE * cells


class _Job:
    """One match, which may need several attempts.

    Parameters
    ----------
    source, target : array_like
        The images.
    options : MatchOptions
        How to match them.
    axes : dict
        Channel axes of 'source' and 'target'.
    """

    def __init__(
        self,
        source: Any,
        target: Any,
        options: MatchOptions,
        axes: dict[str, int | None],
    ) -> None:
        self._started = time.perf_counter()
        self._images = {'source': source, 'target': target}
        self._axes = axes
        self._options = options
        self._shapes = [
            check_image(image, name=name, channel_axis=axes[name])
            for name, image in self._images.items()
        ]
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        """Note what the user did not ask for."""
        self.warnings.append(text)

    def forget(self) -> None:
        """Free what was kept for other matches."""
        from napari_samnet.samnet.cuda_graph import clear_recordings
        from napari_samnet.samnet.feature_cache import FEATURES

        FEATURES.clear()
        clear_recordings()

    def attempt(
        self, place: Place, size: int
    ) -> Generator[Step, None, Correspondence]:
        """Match at a place and a working size.

        Parameters
        ----------
        place : Place
            Where.
        size : int
            Working size in pixels.

        Yields
        ------
        Step
            See :func:`match_steps`.

        Returns
        -------
        Correspondence
            As the generator's value.
        """
        import torch

        from napari_samnet.samnet.weights import get_weights, load_model

        options = self._options
        stages = Stages(place.device)
        with stages.timed('load'):
            weights = get_weights(options.weights)
            with out_of_memory_explained(place.device, size):
                model = load_model(
                    options.weights,
                    device=place.device,
                    precision=place.precision,
                    backend=place.backend,
                    literal=options.reference,
                )
        with stages.timed('shrink'):
            small = [
                to_working(
                    image, size=size, name=name, channel_axis=self._axes[name]
                )
                for name, image in self._images.items()
            ]
        yield Step(0, options.iterations, 'describing the images')
        record = {
            'options': asdict(options),
            **place._asdict(),
            'size': size,
            'weights': {'name': weights.name, 'sha256': weights.sha256},
            **circumstances(place.device, small, self._axes),
            'warnings': list(self.warnings),
        }
        with (
            torch.inference_mode(),
            out_of_memory_explained(place.device, size),
            stages.timed('encode'),
        ):
            run = PairRun(
                model, (small[0], small[1]), options, place, weights.sha256
            )
            states = run.states()
        changes: tuple[float, ...] = ()
        while True:
            with (
                torch.inference_mode(),
                out_of_memory_explained(place.device, size),
                stages.timed('match'),
            ):
                state = next(states)
            changes = (*changes, round(STRIDE * state.change, 4))
            snapshot = partial(
                self._snapshot, run, state, small, stages, record, changes
            )
            yield Step(
                state.step + 1,
                options.iterations,
                f'iteration {state.step + 1} of at most {options.iterations}',
                changes[-1],
                snapshot,
            )
            if state.last:
                return snapshot()

    def _snapshot(
        self,
        run: PairRun,
        state: Iteration,
        small: list[FloatArray],
        stages: Stages,
        record: dict[str, Any],
        changes: tuple[float, ...],
        *,
        transfer: bool = True,
    ) -> Correspondence:
        """What is found after an iteration."""
        import torch

        with out_of_memory_explained(record['device'], record['size']):
            forward, backward, trust = directions(state, self._options.window)
        transferred = None
        if transfer and self._options.attributes:
            colours = None
            if self._options.reference:
                with (
                    torch.inference_mode(),
                    out_of_memory_explained(record['device'], record['size']),
                    stages.timed('decode'),
                ):
                    colours = (small[0], run.picture(state))
            with stages.timed('recolour'):
                if colours is None:
                    own, other = small
                    colours = recoloured(own, other, forward, trust[0] ** 2)
                transferred = transfer_colours(
                    self._images['source'],
                    *colours,
                    channel_axis=self._axes['source'],
                )
        return Correspondence(
            forward=forward,
            backward=backward,
            forward_confidence=trust[0],
            backward_confidence=trust[1],
            source_shape=self._shapes[0],
            target_shape=self._shapes[1],
            transferred=transferred,
            metadata={
                **record,
                'iterations_used': len(changes),
                'changes': list(changes),
                'stages': stages.rounded(),
                'seconds': round(time.perf_counter() - self._started, 4),
            },
        )


def match(
    source: Any,
    target: Any,
    *,
    labels: Any = None,
    window: int = DEFAULTS.window,
    iterations: int = DEFAULTS.iterations,
    size: int = DEFAULTS.size,
    device: str = DEFAULTS.device,
    precision: str = DEFAULTS.precision,
    backend: str = DEFAULTS.backend,
    weights: str = DEFAULTS.weights,
    attributes: bool = DEFAULTS.attributes,
    init: str = DEFAULTS.init,
    coarse_iterations: int = DEFAULTS.coarse_iterations,
    feedback: str = DEFAULTS.feedback,
    lambda_max: float = DEFAULTS.lambda_max,
    skip: float = DEFAULTS.skip,
    tolerance: float = DEFAULTS.tolerance,
    reference: bool = DEFAULTS.reference,
    source_channel_axis: int | None = None,
    target_channel_axis: int | None = None,
    on_step: Callable[[Step], object] | None = None,
) -> Correspondence:
    """Find the dense semantic correspondence of two images [1]_.

    Parameters
    ----------
    source, target : array_like
        2-D images of any size and real dtype: grey ``(H, W)``, RGB or RGBA
        ``(H, W, 3 or 4)``, or with any number of channels along a given
        axis. The two need not have the same size, dtype or channels.
    labels : array_like of int or bool, optional
        Labels of the source, ``(H, W)``; warped to the target they are the
        result's `warped_labels`.
    window, iterations, size, device, precision, backend, weights, \
attributes, init, coarse_iterations, feedback, lambda_max, skip, tolerance, \
reference
        See :class:`~napari_samnet.MatchOptions`.
    source_channel_axis, target_channel_axis : int, optional
        Axis of the channels, where it is not the last of an RGB image.
    on_step : callable, optional
        Called with a :class:`Step` after each one. If it returns True, the
        match stops there and its result so far is returned.

    Returns
    -------
    Correspondence
        Fields in both directions at the images' own size, confidence, and
        the attribute-transferred source.

    Raises
    ------
    InputError
        If the images, labels, options, weights or device cannot be used.

    References
    ----------
    .. [1] Kim, Min, Jeong, Kim, Jeon, Sohn. Semantic Attribute Matching
       Networks. CVPR 2019. arXiv:1904.02969

    Examples
    --------
    >>> import numpy as np
    >>> from napari_samnet import match
    >>> image = np.random.default_rng(0).random((64, 64, 3))
    >>> result = match(image, image, size=64, window=5, iterations=1)
    >>> result.flow.shape
    (64, 64, 2)
    """
    options = MatchOptions(
        window=window,
        iterations=iterations,
        size=size,
        device=device,
        precision=precision,
        backend=backend,
        weights=weights,
        attributes=attributes,
        init=init,
        coarse_iterations=coarse_iterations,
        feedback=feedback,
        lambda_max=lambda_max,
        skip=skip,
        tolerance=tolerance,
        reference=reference,
    )
    if labels is not None:
        shape = check_image(
            source, name='source', channel_axis=source_channel_axis
        )
        labels = as_array(labels, 'labels')
        check_labels('labels', labels, shape)
    steps = match_steps(
        source,
        target,
        options,
        source_channel_axis=source_channel_axis,
        target_channel_axis=target_channel_axis,
    )
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: Correspondence = end.value
            break
        if on_step is not None and on_step(step) is True:
            if step.snapshot is None:
                raise InputError(
                    'on_step stopped the match before its first iteration, '
                    'when there is no result yet'
                )
            result = step.snapshot()
            steps.close()
            break
    if labels is None:
        return result
    return replace(result, warped_labels=result.warp_labels(labels))
