"""match(source, target): from two images to their correspondence.

Underneath is a generator, :func:`match_steps`, that yields after every
iteration and can be closed between any two: the plugin's worker, the command
line's progress bar and :func:`match` all drive the same one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samnet.checks import as_array, check_labels
from napari_samnet.colour_detail import transfer_colours
from napari_samnet.correspondence import Correspondence
from napari_samnet.devices import (
    out_of_memory_explained,
    resolve_device,
    resolve_precision,
)
from napari_samnet.errors import InputError
from napari_samnet.images import check_image, to_working
from napari_samnet.parameters import DEFAULTS, MatchOptions

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samnet.samnet.network import Iteration, SAMNet

__all__ = ['Step', 'match', 'match_steps']

#: Forward-backward error, in cells, at which the confidence has fallen to
#: 61 %.
CONSISTENT_CELLS = 2.0


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
        preparing.
    """

    index: int
    total: int
    text: str
    change: float | None = None
    snapshot: Callable[[], Correspondence] | None = None


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
    started = time.perf_counter()
    axes = {'source': source_channel_axis, 'target': target_channel_axis}
    shapes = [
        check_image(image, name=name, channel_axis=axes[name])
        for name, image in (('source', source), ('target', target))
    ]
    total = int(options.iterations)
    yield Step(0, total, 'loading the network')

    import torch

    from napari_samnet.samnet.weights import get_weights, load_model

    device = resolve_device(options.device)
    precision = resolve_precision(options.precision, device)
    weights = get_weights(options.weights)
    record = {
        'options': asdict(options),
        'device': device,
        'precision': precision,
        'weights': {'name': weights.name, 'sha256': weights.sha256},
        'versions': _versions(),
    }
    with out_of_memory_explained(device, options.size):
        model = load_model(options.weights, device=device, precision=precision)
        small = [
            to_working(
                image,
                size=int(options.size),
                name=name,
                channel_axis=axes[name],
            )
            for name, image in (('source', source), ('target', target))
        ]
    yield Step(0, total, 'describing the images')

    def snapshot(
        state: Iteration, changes: tuple[float, ...]
    ) -> Correspondence:
        forward, backward, trust = _directions(state, int(options.window))
        transferred = None
        if options.attributes:
            with (
                torch.inference_mode(),
                out_of_memory_explained(device, options.size),
            ):
                image = run.picture(state)
            transferred = transfer_colours(
                source,
                small[0],
                image,
                weight=trust[0] ** 2,
                channel_axis=axes['source'],
            )
        return Correspondence(
            forward=forward,
            backward=backward,
            forward_confidence=trust[0],
            backward_confidence=trust[1],
            source_shape=shapes[0],
            target_shape=shapes[1],
            transferred=transferred,
            metadata={
                **record,
                'iterations_used': len(changes),
                'changes': list(changes),
                'seconds': round(time.perf_counter() - started, 4),
            },
        )

    with torch.inference_mode(), out_of_memory_explained(device, options.size):
        run = _Run(model, small, options, device)
        states = run.states()
    changes: tuple[float, ...] = ()
    while True:
        with (
            torch.inference_mode(),
            out_of_memory_explained(device, options.size),
        ):
            state = next(states)
        changes = (*changes, round(8 * state.change, 4))

        def partial(
            state: Iteration = state, changes: tuple[float, ...] = changes
        ) -> Correspondence:
            return snapshot(state, changes)

        yield Step(
            state.step + 1,
            total,
            f'iteration {state.step + 1} of at most {total}',
            changes[-1],
            partial,
        )
        if state.last:
            return snapshot(state, changes)


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
    weights: str = DEFAULTS.weights,
    attributes: bool = DEFAULTS.attributes,
    init: str = DEFAULTS.init,
    coarse_iterations: int = DEFAULTS.coarse_iterations,
    lambda_max: float = DEFAULTS.lambda_max,
    skip: float = DEFAULTS.skip,
    tolerance: float = DEFAULTS.tolerance,
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
    window, iterations, size, device, precision, weights, attributes, init, \
coarse_iterations, lambda_max, skip, tolerance
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
        weights=weights,
        attributes=attributes,
        init=init,
        coarse_iterations=coarse_iterations,
        lambda_max=lambda_max,
        skip=skip,
        tolerance=tolerance,
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


class _Run:
    """Both directions of a pair as one batch of two.

    Parameters
    ----------
    model : SAMNet
        The network.
    small : list of ndarray
        Source and target at working size, float32 ``(size, size, 3)``.
    options : MatchOptions
        How to match.
    device : str
        Of the model.
    """

    def __init__(
        self,
        model: SAMNet,
        small: list[np.ndarray],
        options: MatchOptions,
        device: str,
    ) -> None:
        import torch

        from napari_samnet.samnet.features import STRIDE, Features
        from napari_samnet.samnet.network import Recurrence

        images = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)
        images = images.to(device)
        if options.attributes:
            own = model.encode(images)
        else:
            own = Features(model.features.match_only(images), images, ())
        self._model = model
        self._own = own
        self._other = Features(
            own.matching.flip(0),
            own.content.flip(0),
            tuple(skip.flip(0) for skip in own.skips),
        )
        self._recurrence = Recurrence(
            window=int(options.window),
            iterations=int(options.iterations),
            attributes=options.attributes,
            init=options.init,
            coarse_iterations=int(options.coarse_iterations),
            lambda_max=options.lambda_max,
            skip=options.skip,
            tolerance=options.tolerance / STRIDE,
        )

    def states(self) -> Iterator[Iteration]:
        """Run the recurrence."""
        return self._model.iterate(self._own, self._other, self._recurrence)

    def picture(self, state: Iteration) -> np.ndarray:
        """I^{s<-t} at working size, float32 ``(size, size, 3)``."""
        first = slice(1)
        image = self._model.picture(
            self._own.part(first),
            self._other.part(first),
            state,
            self._recurrence,
        )
        picture: np.ndarray = image[0].permute(1, 2, 0).float().cpu().numpy()
        return picture


def _directions(
    state: Iteration, window: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fields in normalised (row, column) units and their confidences."""
    import torch

    from napari_samnet.samnet.attributes import matchable
    from napari_samnet.samnet.field import flow_of, warp

    with torch.inference_mode():
        flow = flow_of(state.field)
        height, width = flow.shape[-2:]
        # Where both directions disagree, one of them is wrong.
        error: Tensor = flow + warp(flow.flip(0), flow)
        squared = error.square().sum(1) / CONSISTENT_CELLS**2
        trust = matchable(state.alpha, window)[:, 0] * torch.exp(-squared / 2)
        cells = flow.flip(1).permute(0, 2, 3, 1)
        normalised = cells / cells.new_tensor((height, width))
        both = normalised.float().cpu().numpy()
        confidence = trust.clamp(0, 1).float().cpu().numpy()
    return both[0], both[1], confidence


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ('napari-samnet', 'torch')}
