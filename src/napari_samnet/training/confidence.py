"""Fit the confidence: how often matches with such evidence are right.

A logistic regression on the answers of :mod:`napari_samnet.samnet.confidence`
is fitted to matches of three kinds: keypoints of annotated
images that the features were not taught by, places of photographs and of
their known warps, and places of annotated images that are looked for in
images of something else, where every match is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.datasets.reading import read_image
from napari_samnet.errors import InputError
from napari_samnet.samnet.confidence import EVIDENCE, evidence
from napari_samnet.samnet.features import STRIDE, Features, VGGFeatures
from napari_samnet.samnet.field import flow_of, grid
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.recurrence import Recurrence
from napari_samnet.training.data import (
    ImageList,
    TrainingImage,
    read_working,
    to_tensor,
)
from napari_samnet.training.synthetic import synthetic_pair
from napari_samnet.training.taught_examples import AnnotatedImage

__all__ = ['Matches', 'collect_matches', 'fit_logistic', 'with_confidence']

#: Share of the object's longest side within which a keypoint is right.
KEYPOINT_TOLERANCE = 0.1
#: Pixels at working size within which a place of one scene is right.
SCENE_TOLERANCE = 3.0

#: Places that are drawn from a known warp.
WARPED_PLACES = 48

#: How much each kind of match counts: keypoints, something else, known warps.
#: What is asked of most pairs is that of the first kind.
KIND_WEIGHTS = (1.0, 0.125, 0.125)

#: Pull of the coefficients of standardized answers towards 0.
RIDGE = 1e-3


class Matches(NamedTuple):
    """Matches whose truth is known.

    Attributes
    ----------
    answers : Tensor
        ``(N, len(EVIDENCE))``, the evidence of each match.
    right : Tensor
        ``(N,)``, 1 where the match is right and 0 where it is wrong.
    weight : Tensor
        ``(N,)``, how much each counts.
    """

    answers: Tensor
    right: Tensor
    weight: Tensor


def fit_logistic(matches: Matches) -> tuple[Tensor, Tensor]:
    """Logistic regression of right on the answers.

    Parameters
    ----------
    matches : Matches
        Of both kinds, right and wrong ones.

    Returns
    -------
    weight : Tensor
        ``(1, len(EVIDENCE))``.
    bias : Tensor
        ``(1,)``.

    Raises
    ------
    InputError
        If all of the matches are right, or all are wrong.
    """
    answers, right = matches.answers.double(), matches.right.double()
    if right.min() == right.max():
        raise InputError(
            'the confidence needs right and wrong matches to be fitted to, '
            f'got {len(right)} that are all alike'
        )
    mean, deviation = answers.mean(0), answers.std(0).clamp_min(1e-6)
    standard = (answers - mean) / deviation
    share = matches.weight.double() / matches.weight.double().sum()
    layer = nn.Linear(answers.shape[1], 1).double()
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=200, line_search_fn='strong_wolfe'
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = layer(standard)[:, 0]
        loss = F.binary_cross_entropy_with_logits(
            logits, right, weight=share, reduction='sum'
        )
        loss = loss + RIDGE * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    weight = layer.weight.detach() / deviation
    bias = layer.bias.detach() - weight @ mean
    return weight.float(), bias.float()


def with_confidence(model: SAMNet, matches: Matches) -> SAMNet:
    """The same network with a confidence that is fitted to matches.

    Parameters
    ----------
    model : SAMNet
        Stays as it is.
    matches : Matches
        Right and wrong ones, of :func:`collect_matches`.

    Returns
    -------
    SAMNet
        In evaluation mode.
    """
    weight, bias = fit_logistic(matches)
    other = SAMNet(replace(model.config, evidence=len(EVIDENCE)))
    state = {
        **model.state_dict(),
        'confidence.weight': weight,
        'confidence.bias': bias,
    }
    other.load_state_dict(state)
    return other.eval().requires_grad_(False)


def collect_matches(
    model: SAMNet,
    features: VGGFeatures,
    annotated: Sequence[AnnotatedImage],
    photographs: ImageList,
    *,
    pairs: int,
    size: int,
    seed: int = 0,
    tell: Callable[[int], None] = lambda _: None,
) -> Matches:
    """Match pairs whose truth is known, as `match` does by default.

    Parameters
    ----------
    model : SAMNet
        The network, which stays as it is.
    features : VGGFeatures
        Its features, perhaps in another arithmetic.
    annotated : sequence of AnnotatedImage
        That the features were not taught by.
    photographs : sequence of TrainingImage
        Images that show something else.
    pairs : int
        How many with keypoints; a third as many of either other kind, whose
        places are more.
    size : int
        Working size in pixels.
    seed : int
        Which pairs are drawn.
    tell : callable, optional
        Told how many pairs are done.

    Returns
    -------
    Matches
        The three kinds count as KIND_WEIGHTS say.
    """
    rng = np.random.default_rng(seed)
    collector = _Collector(model, features, size)
    side = size // STRIDE
    kinds: list[list[tuple[Tensor, Tensor]]] = [[], [], []]
    done = 0
    for _ in range(pairs if len(annotated) > 1 else 0):
        one, other = _pair_of_group(annotated, rng)
        common = one.visible & other.visible
        if not common.any():
            continue
        places, goals = (
            torch.from_numpy(
                image.cells(read_image(image.path).shape, side)[common]
            ).float()
            for image in (one, other)
        )
        answers, moved = collector.ask(
            collector.read(one.path), collector.read(other.path), places
        )
        shape = read_image(other.path).shape
        scale = moved.new_tensor((shape[1], shape[0])) / side
        error = ((moved - goals) * scale).norm(dim=1)
        right = error <= KEYPOINT_TOLERANCE * other.side
        kinds[0].append((answers, right))
        done += 1
        tell(done)
    for _ in range(pairs // 3 if annotated else 0):
        one = annotated[int(rng.integers(len(annotated)))]
        something = photographs[int(rng.integers(len(photographs)))]
        places = torch.from_numpy(
            one.cells(read_image(one.path).shape, side)[one.visible]
        ).float()
        answers, _ = collector.ask(
            collector.read(one.path), collector.read(something.path), places
        )
        kinds[1].append((answers, torch.zeros(len(answers)) > 0))
        done += 1
        tell(done)
    for _ in range(max(1, pairs // 3)):
        photograph = photographs[int(rng.integers(len(photographs)))]
        kinds[2].append(_warp(collector, photograph, rng))
        done += 1
        tell(done)
    return _joined(kinds)


def _pair_of_group(
    annotated: Sequence[AnnotatedImage], rng: np.random.Generator
) -> tuple[AnnotatedImage, AnnotatedImage]:
    """Two images of one kind of thing, or one of them twice if it is alone."""
    one = annotated[int(rng.integers(len(annotated)))]
    alike = [
        image
        for image in annotated
        if image.group == one.group and image is not one
    ]
    return one, alike[int(rng.integers(len(alike)))] if alike else one


def _warp(
    collector: _Collector, photograph: TrainingImage, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Places of a known warp, those that lead out of the image too."""
    size = collector.size
    source, target, flow, valid = synthetic_pair(
        read_working(photograph, size), rng
    )
    pixels = rng.integers(size, size=(WARPED_PLACES, 2))
    y, x = pixels.T
    places = (torch.from_numpy(pixels[:, ::-1].copy()) + 0.5) / STRIDE - 0.5
    truth = torch.from_numpy(flow[y, x, ::-1].copy()).float()
    answers, moved = collector.ask(
        collector.encode(source), collector.encode(target), places.float()
    )
    error = (STRIDE * (moved - places) - truth).norm(dim=1)
    inside = torch.from_numpy(valid[y, x])
    return answers, (error <= SCENE_TOLERANCE) & inside


def _joined(kinds: Sequence[Sequence[tuple[Tensor, Tensor]]]) -> Matches:
    """Matches of all kinds, those of one kind sharing its weight."""
    parts = [
        Matches(
            torch.cat([answers for answers, _ in kind]),
            torch.cat([right for _, right in kind]).float(),
            torch.tensor(weight),
        )
        for kind, weight in zip(kinds, KIND_WEIGHTS, strict=True)
        if kind
    ]
    return Matches(
        torch.cat([part.answers for part in parts]),
        torch.cat([part.right for part in parts]),
        torch.cat(
            [
                part.weight.expand(len(part.right)) / len(part.right)
                for part in parts
            ]
        ),
    )


class _Collector:
    """Matches pairs and asks for evidence at some places."""

    def __init__(
        self, model: SAMNet, features: VGGFeatures, size: int
    ) -> None:
        self.size = size
        self._model = model
        self._features = features
        self._kept: dict[Path, Tensor] = {}

    def read(self, path: Path) -> Tensor:
        """Features of a file, which are kept: it may be drawn again."""
        if path not in self._kept:
            self._kept[path] = self.encode(read_working(path, self.size))
        return self._kept[path].float()

    @torch.inference_mode()
    def encode(self, image: np.ndarray) -> Tensor:
        """Features of an image at working size, ``(1, C, H, W)`` in fp16."""
        return self._features.match_only(to_tensor([image])).half()

    @torch.inference_mode()
    def ask(
        self, source: Tensor, target: Tensor, places: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Answers at places of the source, and where they go.

        Parameters
        ----------
        source, target : Tensor
            Features of the pair, ``(1, C, H, W)``.
        places : Tensor
            ``(K, 2)`` in (x, y) cells.

        Returns
        -------
        answers : Tensor
            ``(K, len(EVIDENCE))``.
        moved : Tensor
            ``(K, 2)`` in (x, y) cells of the target.
        """
        maps = torch.cat((source, target)).float()
        none = maps.new_zeros(2, 0, 1, 1)
        options = Recurrence(window=self._model.config.window, tolerance=0.05)
        field = none
        for state in self._model.iterate(
            Features(maps, none, ()), Features(maps.flip(0), none, ()), options
        ):
            field = state.field
        answers = evidence(maps, field)[:1]
        height, width = field.shape[-2:]
        goals = (grid(height, width, like=field) + flow_of(field))[:1]
        both = torch.cat((answers, goals), 1)
        size = places.new_tensor((width, height))
        at = (2 * places + 1) / size - 1
        sampled = F.grid_sample(
            both,
            at.view(1, 1, -1, 2),
            padding_mode='border',
            align_corners=False,
        )[0, :, 0].T
        return sampled[:, :-2], sampled[:, -2:]
