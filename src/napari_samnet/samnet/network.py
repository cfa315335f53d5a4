"""SAMNet: the recurrence of Fig. 3, one :class:`Iteration` per step.

Reading of (6) and (7), 0-based: ``T^0`` is the start; in iteration l the
volume ``C^l`` compares F^s and F^{s<-t,l} with F^t warped by ``T^l``, and
``T^{l+1} = T^l + F(C^l; W_G)``. Then image and feature are synthesized with
``T^{l+1}`` for the next iteration: the first needs no synthesis, since
F^{s<-t,0} = F^s, and after the last there is none unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from napari_samnet.samnet.attributes import DroplinkDecoder
from napari_samnet.samnet.comparison import Comparison
from napari_samnet.samnet.config import STRIDE, SAMNetConfig
from napari_samnet.samnet.features import Features, VGGFeatures
from napari_samnet.samnet.field import flow_of, identity_field
from napari_samnet.samnet.global_affine import global_affine
from napari_samnet.samnet.kernels.cuda_graph import (
    Capture,
    capture_cuda,
    recording_for,
)
from napari_samnet.samnet.matching import ResidualMatching, RTNMatching
from napari_samnet.samnet.recurrence import (
    Iteration,
    Recurrence,
    is_last,
    schedule,
)
from napari_samnet.samnet.start import Gathered, Start, guided_start


def _can_record(features: Tensor, options: Recurrence) -> bool:
    """Whether iterations shall be CUDA graphs: not in training."""
    return (
        features.is_cuda
        and torch.is_inference_mode_enabled()
        and not options.reference
    )


class SAMNet(Comparison):
    """Semantic attribute matching network.

    Parameters
    ----------
    config : SAMNetConfig, optional
        Which parts the network has, and their sizes.

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
            dilated=self.config.dilated,
            projection=self.config.projection,
            context=self.config.context,
            context_layers=self.config.context_layers,
            taught_blocks=self.config.taught_blocks,
            likeness=self.config.likeness,
        )
        if self.config.matcher == 'rtn':
            self.matcher = RTNMatching(window=self.config.window)
        elif self.config.matcher == 'unet':
            self.matcher = RTNMatching(
                window=self.config.window, width=self.config.width
            )
        elif self.config.matcher == 'residual':
            self.matcher = ResidualMatching(
                window=self.config.window, width=self.config.width
            )
        else:
            raise ValueError(
                f"matcher must be 'residual', 'rtn' or 'unet', got "
                f'{self.config.matcher!r}'
            )
        self.decoder = DroplinkDecoder(depth=self.config.decoder_depth)

    def encode(
        self,
        images: Tensor,
        *,
        skips: bool = True,
        project: bool = True,
        unprojected: bool = False,
    ) -> Features:
        """Features of ``(B, 3, H, W)`` RGB images in [0, 1].

        Without `skips` they are fit for everything but links of the decoder,
        and if projected for all feedback but 'continue'. Those `unprojected`
        are kept beside them if that is asked for.
        """
        size = images.shape[-2:]
        if any(side % (2 * STRIDE) for side in size):
            raise ValueError(
                f'height and width must be multiples of {2 * STRIDE}, got '
                f'{tuple(size)}'
            )
        features: Features = self.features(
            images, skips=skips, project=project, unprojected=unprojected
        )
        return features

    def start(self, source: Tensor, target: Tensor, init: str) -> Tensor:
        """T^0 from matching features ``(B, C, H, W)``."""
        if init == 'global':
            return global_affine(source, target)
        if init == 'identity':
            batch, _, height, width = source.shape
            return identity_field(batch, height, width, like=source)
        raise ValueError(f"init must be 'global' or 'identity', got {init!r}")

    def begin(
        self,
        source: Tensor,
        target: Tensor,
        options: Recurrence,
        regions: Tensor | None = None,
        found: Gathered | None = None,
    ) -> Start:
        """T^0, and what the fits of all iterations need.

        Parameters
        ----------
        source, target : Tensor
            Matching features ``(B, C, H, W)``.
        options : Recurrence
            Its `init`, `motions` and `alikeness` say how.
        regions : Tensor, optional
            See :func:`~.start.gathered`; not looked at with round windows.
        found : Gathered, optional
            What that returns, where it is there already.

        Returns
        -------
        Start
            Computed once per pair.
        """
        if not options.guided:
            return Start(self.start(source, target, options.init))
        return guided_start(source, target, options, regions, found)

    def iterate(
        self,
        source: Features,
        target: Features,
        options: Recurrence,
        regions: Tensor | None = None,
        found: Gathered | None = None,
    ) -> Iterator[Iteration]:
        """Run the recurrence (6), (7), yielding after each iteration.

        Parameters
        ----------
        source, target : Features
            Of :meth:`encode`, same batch and size.
        options : Recurrence
            How to run it.
        regions : Tensor, optional
            ``(K, H, W)``: shares of the first source's cells that are of
            regions which move as one each, see :mod:`.regions`.
        found : Gathered, optional
            What :meth:`begin` takes of the cells that were compared already.

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
        start = self.begin(
            source.matching, target.matching, options, regions, found
        )
        if _can_record(source.matching, options):
            yield from self._iterate_recorded(source, target, start, options)
            return
        field, transferred = start.field, source.matching
        for index in range(options.iterations):
            volume, residual, alpha = self._compare(
                (source.matching, transferred, target.matching),
                field,
                start,
                index,
                options,
            )
            field = field + residual
            change = float(_mean_motion(residual))
            last = is_last(index, change, options)
            if options.reference:
                transferred = self._next(
                    source, target, field, alpha, index, options
                )
            yield Iteration(
                index, field, volume, alpha, change, last, start.clues
            )
            if last:
                return
            # Not before the yield: who stops there does not wait for it.
            if not options.reference:
                transferred = self._next(
                    source, target, field, alpha, index, options
                )

    def _iterate_recorded(
        self,
        source: Features,
        target: Features,
        start: Start,
        options: Recurrence,
        *,
        capture: Capture = capture_cuda,
    ) -> Iterator[Iteration]:
        """The recurrence with each iteration recorded as a CUDA graph.

        ``capture``: how a graph is recorded.
        """
        parts = [(f.matching, f.content, *f.skips) for f in (source, target)]
        count = len(parts[0])

        def iteration_fn(
            index: int, fixed: Sequence[Tensor], moving: Sequence[Tensor]
        ) -> tuple[Tensor, ...]:
            one, other = (
                Features(group[0], group[1], tuple(group[2:]))
                for group in (fixed[:count], fixed[count : 2 * count])
            )
            begun = start.with_tensors(fixed[2 * count :])
            field, transferred = moving
            volume, residual, alpha = self._compare(
                (one.matching, transferred, other.matching),
                field,
                begun,
                index,
                options,
            )
            field = field + residual
            change = _mean_motion(residual)
            if index + 1 < options.iterations:
                transferred = self._next(
                    one, other, field, alpha, index, options
                )
            return volume, field, alpha, change, transferred

        field, transferred = start.field, source.matching
        fixed = [*parts[0], *parts[1], *start.tensors()]
        with recording_for(
            self, iteration_fn, fixed, options, capture=capture
        ) as recording:
            for index in range(options.iterations):
                volume, field, alpha, moved, transferred = recording(
                    index, (field, transferred)
                )
                change = float(moved)
                last = is_last(index, change, options)
                yield Iteration(
                    index, field, volume, alpha, change, last, start.clues
                )
                if last:
                    return

    def _next(
        self,
        source: Features,
        target: Features,
        field: Tensor,
        alpha: Tensor,
        index: int,
        options: Recurrence,
    ) -> Tensor:
        """F^{s<-t} of the next iteration."""
        if not options.attributes:
            return source.matching
        weight = schedule(index + 1)
        return self.transfer(
            source, target, field, alpha, weight=weight, options=options
        )


def _mean_motion(residual: Tensor) -> Tensor:
    """Mean change of f in cells, a scalar."""
    return flow_of(residual).detach().norm(dim=1).mean()
