"""W_G: residual affine matching by an encoder-decoder, (6).

``RTNMatching`` has the layer plan of Recurrent Transformer Networks (Kim et
al., NeurIPS 2018), which the paper builds on. ``ResidualMatching``, the
default, adds a small zero-initialized encoder-decoder to the parameter-free
estimate, so that an untrained network is already a sound one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.least_squares import AnalyticMatching, Guide, peak_of

#: Largest change per iteration: of f in cells, and of A.
MAX_FLOW_STEP = 4.0
MAX_LINEAR_STEP = 0.5

#: Iterations whose whole residual is taken.
FULL_STEPS = 3


def resize_window(correlation: Tensor, window: int) -> Tensor:
    """Crop or zero-pad a volume to the window that a network was built for.

    ``correlation``: ``(B, K*K, H, W)``, any odd K. Returns:
    ``(B, window**2, H, W)`` with the same center.
    """
    batch, count, height, width = correlation.shape
    side = round(count**0.5)
    if side == window:
        return correlation
    margin = (window - side) // 2
    volume = correlation.view(batch, side, side, height, width)
    volume = F.pad(volume, (0, 0, 0, 0, margin, margin, margin, margin))
    return volume.reshape(batch, window * window, height, width)


def limit_step(residual: Tensor) -> Tensor:
    """Clamp a residual field to what the search window can have seen."""
    return torch.cat(
        (
            residual[:, :4].clamp(-MAX_LINEAR_STEP, MAX_LINEAR_STEP),
            residual[:, 4:].clamp(-MAX_FLOW_STEP, MAX_FLOW_STEP),
        ),
        1,
    )


def step_size(index: int) -> float:
    """Share of the residual that is taken in iteration `index`.

    1 for the first `FULL_STEPS` iterations, which the paper needs to converge;
    then 1/2, 1/3, ..., which averages what later iterations find instead of
    following each in turn, so that the recurrence comes to rest.
    """
    return 1.0 / max(index - FULL_STEPS + 2, 1)


class _Block(nn.Sequential):
    """Two convolutions with rectification."""

    def __init__(self, channels: tuple[int, int], *, kernel: int = 3) -> None:
        first, out = channels
        super().__init__(
            nn.Conv2d(first, out, kernel, padding=kernel // 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(out, out, 3, padding=1),
            nn.ReLU(inplace=True),
        )


class EncoderDecoder(nn.Module):
    """U-shaped network without normalization, last layer zero.

    ``widths``: channels per level, finest first.
    """

    def __init__(
        self,
        channels: int,
        *,
        widths: tuple[int, ...],
        outer_kernel: int = 3,
    ) -> None:
        super().__init__()
        downs, previous = [], channels
        for level, width in enumerate(widths):
            kernel = outer_kernel if level == 0 else 3
            downs.append(_Block((previous, width), kernel=kernel))
            previous = width
        ups = []
        for width in reversed(widths[:-1]):
            ups.append(_Block((previous + width, width)))
            previous = width
        self.downs = nn.ModuleList(downs)
        self.ups = nn.ModuleList(ups)
        self.last = nn.Conv2d(
            previous, 6, outer_kernel, padding=outer_kernel // 2
        )
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to a residual ``(B, 6, H, W)``."""
        skips: list[Tensor] = []
        for level, down in enumerate(self.downs):
            if level:
                x = F.max_pool2d(x, 2, ceil_mode=True)
            x = down(x)
            skips.append(x)
        for up, skip in zip(self.ups, reversed(skips[:-1]), strict=True):
            x = F.interpolate(
                x, size=skip.shape[-2:], mode='bilinear', align_corners=False
            )
            x = up(torch.cat((x, skip), 1))
        return self.last(x)


class RTNMatching(nn.Module):
    """W_G with the layer plan of RTNs: 20 million parameters.

    ``width``: channels of the finest level, 64 in RTNs. The number of
    parameters falls with its square.
    """

    def __init__(self, *, window: int = 9, width: int = 64) -> None:
        super().__init__()
        self.window = window
        self.network = EncoderDecoder(
            window * window,
            widths=(width, 2 * width, 4 * width, 8 * width, 8 * width),
            outer_kernel=9,
        )

    def forward(
        self,
        correlation: Tensor,
        field: Tensor,  # noqa: ARG002
        start: Tensor,  # noqa: ARG002
        index: int,  # noqa: ARG002
        guide: Guide | None = None,  # noqa: ARG002
        *,
        learned: bool = True,  # noqa: ARG002
    ) -> Tensor:
        """Residual of (6) from a raw volume ``(B, K*K, H, W)`` alone."""
        volume = resize_window(correlation, self.window)
        return limit_step(self.network(normalize(volume)).float())


class ResidualMatching(nn.Module):
    """W_G = parameter-free estimate + learned residual.

    ``window``: search window that the learned part is built for. Other windows
    are cropped or padded for it; the parameter-free part takes any.
    """

    def __init__(self, *, window: int = 9, width: int = 16) -> None:
        super().__init__()
        self.window = window
        self.analytic = AnalyticMatching()
        self.network = EncoderDecoder(
            window * window + 9,
            widths=(width, 2 * width, 4 * width, 8 * width, 8 * width),
        )

    def forget(self) -> None:
        """Let the learned residual be zero, as before it was learned."""
        for parameter in self.network.last.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self,
        correlation: Tensor,
        field: Tensor,
        start: Tensor,
        index: int,
        guide: Guide | None = None,
        *,
        learned: bool = True,
    ) -> Tensor:
        """Residual of (6).

        ``correlation``: C^l, raw, ``(B, K*K, H, W)``.
        ``field``, ``start``: T^l and T^0, ``(B, 6, H, W)``.
        ``index``: number l of the iteration, from 0.
        ``guide``: lets the window of the parameter-free part follow the
        object.
        ``learned``: add the learned residual; without it, the estimate is the
        parameter-free one.
        Returns: ``T^{l+1} - T^l``, ``(B, 6, H, W)``.
        """
        if guide is not None and not learned:
            residual = self.analytic.guided(
                correlation, field, start, index, guide
            )
            return step_size(index) * residual
        peak = peak_of(correlation)
        if guide is None:
            residual = self.analytic(peak, field, start, index)
        else:
            residual = self.analytic.guided(
                correlation, field, start, index, guide
            )
        if learned:
            volume = normalize(resize_window(correlation, self.window))
            evidence = torch.cat((volume, *peak, residual), 1)
            learned_part = self.network(evidence.detach()).float()
            residual = residual + limit_step(learned_part)
        return step_size(index) * residual
