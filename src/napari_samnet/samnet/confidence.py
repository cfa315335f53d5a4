"""How likely a match is right, from what speaks for and against it.

A few small networks of two hidden layers read the
:mod:`.confidence_measures` of each cell; the mean of what they say, as
log-odds, is the confidence. They were fitted to keypoints, known warps and
pairs without the object, of training images. That is not in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from napari_samnet.samnet.confidence_measures import (
    MEASURES,
    PairSimilarities,
)
from napari_samnet.samnet.recurrence import Iteration

#: Deviations from the mean beyond which a measure says no more: what lies
#: farther out than all that was fitted to must not be extrapolated.
FARTHEST = 3.0


class MatchConfidence(nn.Module):
    """Small networks from the measures of a match to log-odds.

    ``members``: how many networks are averaged. More of them vary less with
    what they were fitted to.
    """

    index: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        members: int = 4,
        width: int = 16,
        names: tuple[str, ...] = MEASURES,
    ) -> None:
        super().__init__()
        unknown = sorted(set(names) - set(MEASURES))
        if unknown:
            raise ValueError(f'there is no measure {", ".join(unknown)}')
        self.names = tuple(names)
        count = len(self.names)
        self.register_buffer('mean', torch.zeros(count))
        self.register_buffer('deviation', torch.ones(count))
        places = [MEASURES.index(name) for name in self.names]
        self.register_buffer('index', torch.tensor(places), persistent=False)
        self.first = nn.Parameter(torch.randn(members, count, width))
        self.first_bias = nn.Parameter(torch.zeros(members, 1, width))
        self.second = nn.Parameter(torch.randn(members, width, width))
        self.second_bias = nn.Parameter(torch.zeros(members, 1, width))
        self.last = nn.Parameter(torch.randn(members, width, 1))
        self.last_bias = nn.Parameter(torch.zeros(members, 1, 1))
        self.direct = nn.Parameter(torch.zeros(members, count, 1))
        with torch.no_grad():
            for layer in self.matrices()[:-1]:
                layer /= layer.shape[1] ** 0.5

    def matrices(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All parameters but the biases; what goes past the layers last."""
        return self.first, self.second, self.last, self.direct

    def forward(self, measures: Tensor) -> Tensor:
        """Log-odds of each member.

        ``measures``: ``(N, len(MEASURES))``, of N cells. Returns:
        ``(members, N)``; their mean is what is believed.
        """
        chosen = measures[:, self.index]
        standard = (chosen - self.mean) / self.deviation
        standard = standard.clamp(-FARTHEST, FARTHEST)
        hidden = torch.tanh(standard @ self.first + self.first_bias)
        hidden = torch.tanh(hidden @ self.second + self.second_bias)
        odds = hidden @ self.last + self.last_bias + standard @ self.direct
        return odds[..., 0]

    def of_field(
        self, similarities: PairSimilarities, field: Tensor, state: Iteration
    ) -> Tensor:
        """How likely the matches of a field of a pair are right.

        ``field``: ``(2, 6, H, W)``, in place of the state's.
        Returns: ``(2, 1, h, w)`` in [0, 1], in the cells of the similarities.
        Raises ValueError if the state has no clues, as with round windows.
        """
        if state.clues is None:
            raise ValueError('the confidence needs the clues of the start')
        measures = similarities.measures(field, state.clues, state.alpha)
        cells = measures.flatten(2).transpose(1, 2).flatten(0, 1)
        odds = self(cells).mean(0).view(2, 1, *measures.shape[-2:])
        return odds.sigmoid()

    @classmethod
    def from_arrays(
        cls, names: tuple[str, ...], arrays: Mapping[str, Any]
    ) -> MatchConfidence:
        """Build from arrays.

        Raises ValueError if the arrays do not fit together.
        """
        members, _, width = arrays['first'].shape
        model = cls(members, width, names)
        state = {
            name: torch.as_tensor(value, dtype=torch.float32)
            for name, value in arrays.items()
        }
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(' '.join(str(error).split())[:300]) from error
        return model.eval().requires_grad_(False)
