"""The fast paths one by one, beside the literal reference.

Every variant runs one direction of a pair from images at working size to the
field and the transferred image. The exact ones add one path after the other;
each of the others is added alone to the last of these.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from napari_samnet.color.guided_affine import transfer_colors
from napari_samnet.color.transfer import Recolored, recolored
from napari_samnet.errors import DeviceError
from napari_samnet.evaluation.speed.models import Models, Variant, place_of
from napari_samnet.matching.pair import Stages
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.devices import has_bf16, resolve_place
from napari_samnet.samnet.attributes import matchable
from napari_samnet.samnet.features import STRIDE, Features
from napari_samnet.samnet.field import flow_of
from napari_samnet.samnet.recurrence import Iteration, Recurrence

if TYPE_CHECKING:
    from napari_samnet.samnet.recurrence import Feedback

__all__ = ['Found', 'run_variant', 'variants']

FloatArray = NDArray[np.float32]


class Found(NamedTuple):
    """What a variant found, and where its time went."""

    #: Displacement (row, column) in normalized units, (h, w, 2).
    forward: FloatArray
    #: The source with the target's attributes, or None.
    transferred: FloatArray | None
    #: Seconds by stage.
    stages: dict[str, float]
    #: Seconds of all cores together, which other work hardly changes.
    core_seconds: float
    iterations: int

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(self.stages.values())


def variants(
    options: MatchOptions, missing: dict[str, str] | None = None
) -> list[Variant]:
    """All variants that can run here, the reference first.

    Parameters
    ----------
    options : MatchOptions
        What is the default.
    missing : dict of str to str, optional
        Takes the names of those that cannot run here, and why.

    Returns
    -------
    list of Variant
    """
    literal = replace(
        options,
        attributes=True,
        backend='torch',
        precision='fp32',
        feedback='image',
        tolerance=0.0,
        reference=False,
    )
    slow: dict[str, Any] = {
        'options': literal,
        'banded': False,
        'gather': False,
        'scheduled': False,
        'literal': True,
    }
    found = [Variant(name='reference', text='literal reference', **slow)]
    for name, text, flag, value in (
        ('banded', '+ banded correlation of both terms', 'banded', True),
        ('gather', '+ gathered warp and blend', 'gather', True),
        ('schedule', '+ no synthesis after the last', 'scheduled', True),
        ('channels_last', '+ channels last', 'literal', False),
    ):
        slow[flag] = value
        found.append(Variant(name=name, text=text, **slow))

    def alone(name: str, text: str, **changes: Any) -> None:
        flags = {key: changes.pop(key) for key in FLAGS & set(changes)}
        try:
            changed = replace(literal, **changes)
            place_of(changed)
        except DeviceError as error:
            if missing is not None:
                missing[name] = str(error)
            return
        found.append(Variant(name=name, text=text, options=changed, **flags))

    rest = options.tolerance or MatchOptions.tolerance
    alone('both', 'both directions as one batch', both=True)
    alone('early_stop', 'early stop', tolerance=rest)
    if has_bf16(resolve_place(options.device).device):
        alone('bf16', 'bf16', precision='bf16')
    alone('feature_feedback', 'feature feedback', feedback='feature')
    alone('projected', 'projected features', projected=True)
    alone('recolored', 'recolored, not decoded', decoded=False)
    for precision in ('fp32', 'bf16', 'int8'):
        alone(
            f'openvino_{precision}',
            f'OpenVINO {precision}',
            backend='openvino',
            precision=precision,
            device='cpu',
        )
    usual = replace(options, reference=False)

    def add(name: str, text: str, changed: MatchOptions, **flags: Any) -> None:
        projected = changed.feedback == 'feature'
        flags |= {'decoded': False, 'projected': projected}
        found.append(Variant(name=name, text=text, options=changed, **flags))

    add('default', 'default', usual)
    add('default_cached', 'default, features cached', usual, cached=True)
    alone_text = 'correspondence only'
    add('correspondence_only', alone_text, replace(usual, attributes=False))
    for precision in ('fp32', 'int8'):
        if precision == 'int8' and not any(
            variant.name == 'openvino_int8' for variant in found
        ):
            continue
        chosen = replace(
            usual, precision=precision, backend='auto', device='cpu'
        )
        add(f'default_{precision}', f'default in {precision}', chosen)
        add(
            f'correspondence_only_{precision}',
            f'{alone_text} in {precision}',
            replace(chosen, attributes=False),
        )
    return found


#: What a variant says beside its options.
FLAGS = {
    'banded',
    'gather',
    'scheduled',
    'literal',
    'both',
    'cached',
    'decoded',
    'projected',
}


class _Clock(Stages):
    """Stages, and the time that all cores together spent in them."""

    core_seconds = 0.0

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        start = time.process_time()
        with super().timed(name):
            yield
        self.core_seconds += time.process_time() - start


@torch.inference_mode()
def run_variant(
    models: Models,
    variant: Variant,
    small: tuple[FloatArray, FloatArray],
    source: Any,
) -> Found:
    """Run one variant on one pair.

    Parameters
    ----------
    models : Models
        Where networks are kept.
    variant : Variant
        How.
    small : tuple of ndarray of float32, shape (size, size, 3)
        Source and target at working size.
    source : ndarray, shape (H, W, 3)
        The source at its own size.

    Returns
    -------
    Found
    """
    model, device = models.get(variant)
    options = variant.options
    images = [
        torch.from_numpy(image).permute(2, 0, 1)[None].to(device)
        for image in small
    ]
    if not variant.literal:
        images = [
            image.contiguous(memory_format=torch.channels_last)
            for image in images
        ]
    skips = options.attributes and options.feedback == 'image'
    unclocked = Stages(device)
    stages = _Clock(device)
    with (unclocked if variant.cached else stages).timed('encode'):
        one, two = (
            model.encode(image, skips=skips, project=variant.projected)
            for image in images
        )
    own, other = (_pair(one, two), _pair(two, one))
    if not variant.both:
        own, other = own.part(slice(1)), other.part(slice(1))
    recurrence = _recurrence(options, scheduled=variant.scheduled)
    with stages.timed('iterate'):
        state = _last(model.iterate(own, other, recurrence))
    picture = None
    if options.attributes and variant.decoded:
        # Unless there is a schedule, the last iteration made an image.
        clock = stages if variant.scheduled else unclocked
        with clock.timed('decode'):
            picture = model.picture(
                own.part(slice(1)), other.part(slice(1)), state, recurrence
            )
    if variant.both:
        for stage in ('encode', 'iterate'):
            stages.seconds[stage] /= 2
        stages.core_seconds /= 2
    flow = flow_of(state.field)[0].flip(0).permute(1, 2, 0)
    forward = (flow / flow.new_tensor(flow.shape[:2])).float().cpu().numpy()
    transferred = None
    if options.attributes:
        with stages.timed('colors'):
            if picture is not None:
                after = picture[0].permute(1, 2, 0).float().cpu().numpy()
                colors = Recolored(small[0], after, None)
            else:
                trust = _trust(state, options)
                colors = recolored(*small, forward, trust)
            transferred = transfer_colors(source, *colors)
    return Found(
        forward,
        transferred,
        stages.seconds,
        stages.core_seconds,
        state.step + 1,
    )


def _recurrence(options: MatchOptions, *, scheduled: bool) -> Recurrence:
    """The recurrence that :func:`napari_samnet.match` would run."""
    return Recurrence(
        window=options.window,
        iterations=options.iterations,
        attributes=options.attributes,
        feedback=cast('Feedback', options.feedback),
        init=options.init,
        coarse_iterations=options.coarse_iterations,
        lambda_max=options.lambda_max,
        skip=options.skip,
        tolerance=options.tolerance / STRIDE,
        reference=not scheduled,
    )


def _trust(state: Iteration, options: MatchOptions) -> FloatArray:
    """Weight of each cell in the color model, from one direction alone."""
    alpha = matchable(state.alpha[:1], options.window)
    trust: FloatArray = alpha[0, 0].clamp(0, 1).float().cpu().numpy()
    return trust**2


def _pair(one: Features, two: Features) -> Features:
    """Two images' features as one batch."""
    return Features(
        torch.cat((one.matching, two.matching)),
        torch.cat((one.content, two.content)),
        tuple(map(torch.cat, zip(one.skips, two.skips, strict=True))),
    )


def _last(states: Iterator[Iteration]) -> Iteration:
    """The state at the end of a run."""
    for state in states:
        if state.last:
            return state
    raise RuntimeError('the recurrence ended without a last state')
