"""Fit the confidence: how often matches with such measures are right.

Pairs of :mod:`.known_pairs` are matched as `match` does by default, and small
networks are fitted to whether their places came out right. A pair whose kind
or group was left out of the fit says how true the confidence is of what
nobody has annotated.

``python -m napari_samnet.training.confidence DATA`` writes
``NAME.confidence.npz`` beside the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_samnet.datasets.animal_pose import is_kept_back
from napari_samnet.datasets.calibration import calibration
from napari_samnet.datasets.composites import horse_parts
from napari_samnet.datasets.image_lists import read_images
from napari_samnet.errors import InputError
from napari_samnet.options import DEFAULTS
from napari_samnet.runtime.confidence import confidence_path, save_confidence
from napari_samnet.runtime.weights import get_weights, read_model
from napari_samnet.samnet.confidence import MatchConfidence
from napari_samnet.samnet.confidence_measures import confidence_measures
from napari_samnet.samnet.config import STRIDE
from napari_samnet.samnet.features import Features, VGGFeatures
from napari_samnet.samnet.field import flow_of
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.recurrence import Recurrence
from napari_samnet.training.annotated import read_annotated_images
from napari_samnet.training.commands import run_command
from napari_samnet.training.data import to_tensor
from napari_samnet.training.feature_store import frozen_features
from napari_samnet.training.known_pairs import KnownPair, known_pairs
from napari_samnet.training.sampling import sample_points

#: How much a match counts, by the kind of its pair; 1 where it is not named.
KIND_WEIGHTS = {
    'two kinds': 0.5,
    'moving object': 0.5,
    'one scene': 0.5,
    'absent': 0.15,
}

#: Places of a pair that count in full; those of pairs with more share that.
PLACES = 12

#: Steps, matches a step, largest rate, pull of the weights towards 0, and
#: noise that is added to the measures, in its deviations.
STEPS, BATCH, RATE, DECAY, NOISE = 400, 512, 1e-2, 1e-3, 0.15

#: Groups of pairs that are left out in turn.
FOLDS = 5


class Matches(NamedTuple):
    """Matches whose truth is known."""

    #: ``(N, len(MEASURES))``, of N matches.
    measures: Tensor
    #: ``(N,)``, 1 where the match is right and 0 where it is wrong.
    right: Tensor
    #: ``(N,)``, how much each counts.
    weight: Tensor
    #: ``kinds``, ``groups``: (N,): what their pairs are and show.
    kinds: NDArray[np.str_]
    groups: NDArray[np.str_]
    #: (N,): number of their pair.
    pairs: NDArray[np.int64]

    def part(self, chosen: NDArray[np.bool_]) -> Matches:
        """Some of them."""
        at = torch.from_numpy(np.flatnonzero(chosen))
        return Matches(
            self.measures[at],
            self.right[at],
            self.weight[at],
            self.kinds[chosen],
            self.groups[chosen],
            self.pairs[chosen],
        )


@torch.inference_mode()
def collect_matches(
    model: SAMNet, features: VGGFeatures, pairs: Iterable[KnownPair]
) -> Matches:
    """Match pairs whose truth is known, as `match` does by default.

    Raises InputError if there are no pairs.
    """
    measures, right, weight = [], [], []
    kinds: list[str] = []
    groups: list[str] = []
    numbers: list[int] = []
    for number, pair in enumerate(pairs):
        maps = torch.cat(
            [
                features.match_only(to_tensor([image])).float()
                for image in (pair.source, pair.target)
            ]
        )
        answers, flow = _matched(model, maps)
        known = np.isfinite(pair.goals).all(1)
        ways = [(0, pair.places, pair.goals, pair.scale)]
        if known.any():
            back = pair.goals[known], pair.places[known], pair.back
            ways.append((1, *back))
        for way, places, goals, scale in ways:
            sampled = sample_points(answers[way], places)
            moved = places + sample_points(flow[way], places).numpy()
            with np.errstate(invalid='ignore'):
                error = np.linalg.norm((moved - goals) * scale, axis=1)
            measures.append(sampled)
            right.append(torch.from_numpy(error <= 1).float())
            share = min(1.0, PLACES / len(places))
            share *= KIND_WEIGHTS.get(pair.kind, 1.0)
            weight.append(torch.full((len(places),), share))
            kinds += [pair.kind] * len(places)
            groups += [pair.group] * len(places)
            numbers += [number] * len(places)
    if not measures:
        raise InputError(
            'the confidence needs pairs to be fitted to, got none; name a '
            'file with keypoints'
        )
    return Matches(
        torch.cat(measures),
        torch.cat(right),
        torch.cat(weight),
        np.array(kinds),
        np.array(groups),
        np.array(numbers),
    )


def _matched(model: SAMNet, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Measures and flow of both directions of a pair."""
    none = maps.new_zeros(2, 0, 1, 1)
    options = Recurrence(
        window=model.config.window, tolerance=DEFAULTS.tolerance / STRIDE
    )
    last = None
    for state in model.iterate(
        Features(maps, none, ()), Features(maps.flip(0), none, ()), options
    ):
        last = state
    assert last is not None
    assert last.clues is not None
    answers = confidence_measures(maps, last.field, last.clues, last.alpha)
    return answers, flow_of(last.field)


def fit_confidence(
    matches: Matches,
    *,
    members: int = 2,
    steps: int = STEPS,
    seed: int = 0,
) -> MatchConfidence:
    """Fit the networks of the confidence.

    ``steps``: steps of the fit; too few leave it where it began. Raises
    InputError if all of the matches are right, or all are wrong.
    """
    measures, right = matches.measures.float(), matches.right
    if right.min() == right.max():
        raise InputError(
            'the confidence needs right and wrong matches to be fitted to, '
            f'got {len(right)} that are all alike'
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MatchConfidence(members)
    chosen = measures[:, model.index]
    model.mean = chosen.mean(0)
    model.deviation = chosen.std(0).clamp_min(1e-3)
    share = matches.weight / matches.weight.mean()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=RATE, weight_decay=DECAY
    )
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps
    )
    noise = NOISE * measures.std(0)
    for _ in range(steps):
        at = torch.randint(len(right), (BATCH,), generator=generator)
        seen = measures[at] + noise * torch.randn(
            BATCH, measures.shape[1], generator=generator
        )
        odds = model(seen)
        loss = F.binary_cross_entropy_with_logits(
            odds, right[at].expand_as(odds), weight=share[at].expand_as(odds)
        )
        squares = sum(part.square().sum() for part in model.matrices())
        optimizer.zero_grad()
        (loss + DECAY * squares / members).backward()
        optimizer.step()
        rates.step()
    return model.eval().requires_grad_(False)


def judge_left_out(matches: Matches, *, steps: int = STEPS) -> dict[str, Any]:
    """How true the confidence is of pairs whose group was left out.

    Returns: per kind of pairs what
    :func:`~napari_samnet.datasets.calibration.calibration` says.
    """
    groups = sorted({one for name in matches.groups for one in name.split()})
    said = np.full(len(matches.kinds), np.nan)
    for fold in range(min(FOLDS, len(groups))):
        names = set(groups[fold::FOLDS])
        out = np.array([bool(names & set(n.split())) for n in matches.groups])
        right = matches.right[torch.from_numpy(~out)]
        if not out.any() or right.min() == right.max():
            continue
        model = fit_confidence(matches.part(~out), members=1, steps=steps)
        with torch.inference_mode():
            odds = model(matches.part(out).measures).mean(0)
        said[out] = odds.sigmoid().numpy()
    truth = matches.right.numpy() > 0
    judged = {}
    for kind in dict.fromkeys(matches.kinds.tolist()):
        inside = (matches.kinds == kind) & np.isfinite(said)
        if inside.any():
            measured = calibration(said[inside], truth[inside])
            del measured['reliability']
            judged[kind] = {'points': int(inside.sum()), **measured}
    return judged


def main(words: Sequence[str] | None = None) -> None:
    """Match, fit, judge and write the file."""
    parser = argparse.ArgumentParser(
        prog='python -m napari_samnet.training.confidence',
        description='Fit the confidence of a network to training images.',
    )
    parser.add_argument(
        'data',
        type=Path,
        help='folder with manifests/train_images.csv and '
        'manifests/animal_pose_train_keypoints.json',
    )
    parser.add_argument(
        '--weights', default='samnet', help='network whose matches are judged'
    )
    parser.add_argument(
        '--pairs', type=int, default=700, help='number of pairs matched'
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='file that is written; by default the one beside the weights',
    )
    run_command(parser, _fit, words)


def _fit(args: argparse.Namespace) -> None:
    weights = get_weights(os.fspath(args.weights))
    model = read_model(weights.path)
    manifests = args.data / 'manifests'
    annotated = [
        image
        for image in read_annotated_images(
            manifests / 'animal_pose_train_keypoints.json', args.data
        )
        if is_kept_back(image.path)
    ]
    photographs = [
        image
        for image in read_images(
            manifests / 'train_images.csv', root=args.data
        )
        if 'animal-pose' not in image.path.parts
    ]

    def tell(done: int) -> None:
        if done % 20 == 0:
            sys.stderr.write(f'{done} of {args.pairs} pairs\n')

    matches = collect_matches(
        model,
        frozen_features(model, weights.path),
        known_pairs(
            annotated,
            photographs,
            horse_parts(args.data).learnt_from(),
            pairs=args.pairs,
            size=DEFAULTS.size,
            tell=tell,
        ),
    )
    path = args.out or confidence_path(weights.path)
    save_confidence(fit_confidence(matches), path, model.config)
    sys.stdout.write(json.dumps(judge_left_out(matches), indent=1) + '\n')
    sys.stdout.write(f'{path}\n')


if __name__ == '__main__':
    main()
