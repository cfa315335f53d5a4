"""SAMNet: the recurrence of Fig. 3, one :class:`Iteration` per step.

Reading of (6) and (7), 0-based: ``T^0`` is the start; in iteration l the
volume ``C^l`` compares F^s and F^{s<-t,l} with F^t warped by ``T^l``, and
``T^{l+1} = T^l + F(C^l; W_G)``. Then image and feature are synthesised with
``T^{l+1}`` for the next iteration: the first needs no synthesis, since
F^{s<-t,0} = F^s, and after the last there is none unless it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.samnet.analytic import global_affine
from napari_samnet.samnet.attributes import (
    DroplinkDecoder,
    blend,
    blend_reference,
    matchable,
)
from napari_samnet.samnet.correlation import (
    confidence,
    local_correlation,
    local_correlation_reference,
    merge_sources,
)
from napari_samnet.samnet.features import (
    STRIDE,
    Features,
    VGGFeatures,
    normalize,
)
from napari_samnet.samnet.field import (
    flow_of,
    grid,
    identity_field,
    resize_field,
    sample_reference,
    warp,
)
from napari_samnet.samnet.matching import ResidualMatching, RTNMatching

__all__ = ['Iteration', 'Recurrence', 'SAMNet', 'SAMNetConfig', 'schedule']


def schedule(index: int, maximum: float = 1.0) -> float:
    """lambda^l = 1 - exp(-l), limited to `maximum`."""
    return min(1.0 - math.exp(-index), maximum)


@dataclass(frozen=True, kw_only=True)
class SAMNetConfig:
    """What a weights file must say so that the network can be built.

    Parameters
    ----------
    backbone : {'vgg16', 'vgg19'}
        Feature network. The paper's is VGG-19.
    matching_layers : tuple of str
        Layers in which the correlation is taken; the paper's are
        ``('relu4_1',)``.
    matcher : {'residual', 'rtn'}
        W_G: parameter-free estimate plus small residual network, or the
        plan of RTNs.
    window : int
        Search window that W_G was trained with.
    width : int
        Channels of the residual network's finest level.
    decoder_depth : int
        Convolutions of W_D at the resolution of relu3_1.
    """

    backbone: str = 'vgg16'
    matching_layers: tuple[str, ...] = ('relu4_3', 'relu5_1')
    matcher: str = 'residual'
    window: int = 9
    width: int = 16
    decoder_depth: int = 2

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SAMNetConfig:
        """Build from :meth:`to_dict`'s values."""
        values = dict(values)
        values['matching_layers'] = tuple(values['matching_layers'])
        config = cls(**values)
        for known in fields(cls):
            value = getattr(config, known.name)
            if type(value) is not type(known.default):
                raise TypeError(
                    f'{known.name} must be {type(known.default).__name__}, '
                    f'got {value!r}'
                )
            # A damaged number must not fill the memory.
            if isinstance(value, int) and not 1 <= value <= 64:
                raise ValueError(
                    f'{known.name} must be from 1 to 64, got {value}'
                )
        return config


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """How the recurrence runs; see :class:`napari_samnet.MatchOptions`.

    Parameters
    ----------
    window : int
        Side of P_i in cells.
    iterations : int
        L.
    attributes : bool
        Synthesise and match with the transferred image. Without it, the
        recurrence is that of RTNs.
    feedback : {'image', 'feature'}
        F^{s<-t} is encoded from the decoded image, or approximated by
        carrying the blended feature on through the feature network.
    init : {'global', 'identity'}
        T^0.
    coarse_iterations : int
        Leading iterations on the map of half the resolution.
    lambda_max : float
        Limit of lambda^l in the matching (5).
    skip : float
        b_h of (10).
    gate : bool
        Blend matchable points only; without it, (8) literally.
    beta : float
        Inverse temperature of (9).
    tolerance : float
        Converged when f changes by less than this many cells on average. 0
        never stops early.
    reference : bool
        Literal kernels (unfold, grid_sample, two terms) instead of the fast
        ones: the oracle of every fast path.
    """

    window: int = 9
    iterations: int = 10
    attributes: bool = True
    feedback: Literal['image', 'feature'] = 'image'
    init: str = 'global'
    coarse_iterations: int = 0
    lambda_max: float = 0.5
    skip: float = 0.5
    gate: bool = True
    beta: float = 10.0
    tolerance: float = 0.0
    reference: bool = False


class Iteration(NamedTuple):
    """State after one iteration.

    Attributes
    ----------
    step : int
        l, 0-based.
    field : Tensor
        T^{l+1}, ``(B, 6, H, W)`` in cells.
    correlation : Tensor
        C^l, raw cosines, ``(B, K*K, H, W)``.
    alpha : Tensor
        Confidence (9), ``(B, 1, H, W)``.
    change : float
        Mean change of f in cells.
    last : bool
        Whether the recurrence ends here.
    """

    step: int
    field: Tensor
    correlation: Tensor
    alpha: Tensor
    change: float
    last: bool


class SAMNet(nn.Module):
    """Semantic attribute matching network.

    Parameters
    ----------
    config : SAMNetConfig, optional
        Its parts.

    References
    ----------
    .. [1] Kim, Min, Jeong, Kim, Jeon, Sohn. Semantic Attribute Matching
       Networks. CVPR 2019.
    """

    def __init__(self, config: SAMNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or SAMNetConfig()
        self.features = VGGFeatures(
            backbone=self.config.backbone,
            matching_layers=self.config.matching_layers,
        )
        self.matcher: nn.Module
        if self.config.matcher == 'rtn':
            self.matcher = RTNMatching(window=self.config.window)
        elif self.config.matcher == 'residual':
            self.matcher = ResidualMatching(
                window=self.config.window, width=self.config.width
            )
        else:
            raise ValueError(
                f"matcher must be 'residual' or 'rtn', got "
                f'{self.config.matcher!r}'
            )
        self.decoder = DroplinkDecoder(depth=self.config.decoder_depth)

    def encode(self, images: Tensor) -> Features:
        """Features of ``(B, 3, H, W)`` RGB images in [0, 1]."""
        size = images.shape[-2:]
        if any(side % (2 * STRIDE) for side in size):
            raise ValueError(
                f'height and width must be multiples of {2 * STRIDE}, got '
                f'{tuple(size)}'
            )
        found: Features = self.features(images)
        return found

    def start(self, source: Tensor, target: Tensor, init: str) -> Tensor:
        """T^0 from matching features ``(B, C, H, W)``."""
        if init == 'global':
            return global_affine(source, target)
        if init == 'identity':
            batch, _, height, width = source.shape
            return identity_field(batch, height, width, like=source)
        raise ValueError(f"init must be 'global' or 'identity', got {init!r}")

    def correlate(
        self,
        source: Tensor,
        transferred: Tensor,
        target: Tensor,
        field: Tensor,
        *,
        weight: float,
        options: Recurrence,
    ) -> Tensor:
        """C^l of (5): raw cosines against the warped target."""
        if options.reference:
            height, width = field.shape[-2:]
            positions = grid(height, width, like=field) + flow_of(field)
            warped = normalize(sample_reference(target, positions))
            own = local_correlation_reference(source, warped, options.window)
            other = local_correlation_reference(
                transferred, warped, options.window
            )
            return (1 - weight) * own + weight * other
        warped = normalize(warp(target, field))
        merged = merge_sources(source, transferred, weight)
        return local_correlation(merged, warped, options.window)

    def synthesise(
        self,
        source: Features,
        target: Features,
        field: Tensor,
        alpha: Tensor,
        *,
        weight: float,
        options: Recurrence,
    ) -> tuple[Tensor, Tensor]:
        """B^{s<-t} of (8) and I^{s<-t} of (10)."""
        gate = matchable(alpha, options.window) if options.gate else None
        mix = blend_reference if options.reference else blend
        blended = mix(
            source.content,
            target.content,
            field,
            alpha,
            weight=weight,
            gate=gate,
        )
        image = self.decoder(blended, source.skips, skip=options.skip)
        return blended, image.float()

    def picture(
        self,
        source: Features,
        target: Features,
        state: Iteration,
        options: Recurrence,
    ) -> Tensor:
        """I^{s<-t} of an iteration for the eye, with (8) to its letter.

        Without gate and links every cell shows what the target has for it,
        and nothing of the source. How far to trust it is then the viewer's,
        by the confidence.

        Parameters
        ----------
        source, target : Features
            Of the images wanted: the first ones of the batch.
        state : Iteration
            What :meth:`iterate` yielded.
        options : Recurrence
            As given to :meth:`iterate`.

        Returns
        -------
        Tensor
            ``(B, 3, 8H, 8W)`` RGB in [0, 1].
        """
        wanted = slice(len(source.content))
        _, image = self.synthesise(
            source,
            target,
            state.field[wanted],
            state.alpha[wanted],
            weight=schedule(state.step + 1),
            options=replace(options, gate=False, skip=0.0),
        )
        return image.clamp(0, 1)

    def iterate(
        self,
        source: Features,
        target: Features,
        options: Recurrence,
    ) -> Iterator[Iteration]:
        """Run the recurrence (6), (7), yielding after each iteration.

        Parameters
        ----------
        source, target : Features
            Of :meth:`encode`, same batch and size.
        options : Recurrence
            How to run it.

        Yields
        ------
        Iteration
            The generator may be closed between any two.
        """
        if source.matching.shape != target.matching.shape:
            raise ValueError(
                f'source and target features must have one shape, got '
                f'{tuple(source.matching.shape)} and '
                f'{tuple(target.matching.shape)}'
            )
        own, goal = source.matching, target.matching
        height, width = own.shape[-2:]
        start = self.start(own, goal, options.init)
        field = start
        transferred = own
        for index in range(options.iterations):
            coarse = index < options.coarse_iterations
            weight = schedule(index, options.lambda_max)
            if not options.attributes:
                weight = 0.0
            if coarse:
                halved = [
                    normalize(F.avg_pool2d(feature, 2))
                    for feature in (own, transferred, goal)
                ]
                at = resize_field(field, height // 2, width // 2)
                volume = self.correlate(
                    halved[0],
                    halved[1],
                    halved[2],
                    at,
                    weight=weight,
                    options=options,
                )
                begin = resize_field(start, height // 2, width // 2)
                residual = self.matcher(volume, at, begin, index)
                residual = resize_field(residual, height, width)
                alpha = F.interpolate(
                    confidence(volume, options.beta),
                    size=(height, width),
                    mode='bilinear',
                    align_corners=False,
                )
            else:
                volume = self.correlate(
                    own,
                    transferred,
                    goal,
                    field,
                    weight=weight,
                    options=options,
                )
                residual = self.matcher(volume, field, start, index)
                alpha = confidence(volume, options.beta)
            field = field + residual
            moved = flow_of(residual).detach().norm(dim=1)
            change = float(moved.mean())
            calm = change < options.tolerance
            last = index + 1 == options.iterations or (calm and not coarse)
            yield Iteration(index, field, volume, alpha, change, last)
            if last:
                return
            if options.attributes:
                blended, image = self.synthesise(
                    source,
                    target,
                    field,
                    alpha,
                    weight=schedule(index + 1),
                    options=options,
                )
                transferred = self.feedback(blended, image, options)

    def feedback(
        self, blended: Tensor, image: Tensor, options: Recurrence
    ) -> Tensor:
        """F^{s<-t}: matching feature of what was synthesised."""
        if options.feedback == 'image':
            return self.features.match_only(image.clamp(0, 1))
        return self.features.continue_from_content(blended)
