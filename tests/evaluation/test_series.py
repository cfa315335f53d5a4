from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_samnet.datasets.metrics import boundary_f, label_ious
from napari_samnet.datasets.sequences import read_sequences
from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import run_benchmark
from napari_samnet.evaluation.interfaces import Answer
from napari_samnet.evaluation.methods.base import Identity
from napari_samnet.evaluation.methods.registry import get_methods
from napari_samnet.evaluation.protocols.presence import Presence
from napari_samnet.evaluation.protocols.registry import (
    PairRequest,
    open_protocol,
)
from napari_samnet.evaluation.protocols.series import Series
from napari_samnet.options import MatchOptions


@pytest.fixture
def film(tmp_path, photograph):
    """A square that moves 4 px per frame; the third frame has no mask."""
    folder = tmp_path / 'square'
    folder.mkdir()
    for frame in range(5):
        Image.fromarray(photograph).save(folder / f'{frame:05}.jpg')
        mask = np.zeros(photograph.shape[:2], bool)
        mask[20:40, 20 + 4 * frame : 40 + 4 * frame] = True
        if frame != 2:
            Image.fromarray(mask).save(folder / f'{frame:05}.png')
    return tmp_path


def test_j_of_a_square_that_moves(film):
    protocol = Series(read_sequences(film))
    run = run_benchmark(protocol, [Identity()])
    scores = run.result['methods']['identity']
    # 4, 12 and 16 px aside, of 20.
    expected = [16 / 24, 8 / 32, 4 / 36]
    assert scores['j'] == pytest.approx(np.mean(expected), abs=1e-4)
    assert scores['j_decay'] == pytest.approx(16 / 24 - 4 / 36, abs=1e-4)
    assert 0 < scores['f'] < 1
    assert scores['groups']['square']['pairs'] == 1
    for _, panel in protocol.panels(
        protocol.load(0), Identity().answer(protocol.load(0))
    ):
        assert panel.shape[2] == 3


def test_a_method_that_follows_the_film_is_asked_for_all_of_it(film):
    class Knows(Identity):
        def follow(self, pair):
            return Answer(
                self.answer(pair).correspondence, series=pair.truth[1:]
            )

    protocol = open_protocol('series', PairRequest(root=film))
    scores = run_benchmark(protocol, [Knows()]).result['methods']['identity']
    assert scores['j'] == scores['f'] == 1
    pair = protocol.load(0)
    assert len(pair.frames) == 4
    with pytest.raises(InputError, match='labels of 3 frames, got 0'):
        protocol.score(pair, Identity().answer(pair))


def test_masks_are_as_large_as_frames(film):
    Image.fromarray(np.ones((5, 5), bool)).save(film / 'square/00003.png')
    with pytest.raises(InputError, match=r'00003\.png must be as large'):
        Series(read_sequences(film)).load(0)
    with pytest.raises(InputError, match='does not hold films'):
        read_sequences(film / 'square')


def test_boundary_f_forgives_a_hundredth_of_the_diagonal():
    mask = np.zeros((100, 100), bool)
    mask[30:60, 30:60] = True
    assert boundary_f(mask, mask) == 1
    # 0.008 of the diagonal is 1.1 px, rounded up to 2.
    assert boundary_f(np.roll(mask, 2, axis=1), mask) == 1
    assert boundary_f(np.roll(mask, 4, axis=1), mask) < 0.6
    empty = np.zeros_like(mask)
    assert boundary_f(empty, mask) == 0
    assert boundary_f(empty, empty) == 1
    labels = mask.astype(np.uint8) + 2 * np.roll(mask, 30, axis=1)
    assert boundary_f(labels, labels) == 1
    assert boundary_f(np.where(labels == 1, 0, labels), labels) == 0.5


def test_iou_of_every_label():
    truth = np.array([[0, 0, 7, 7], [3, 3, 3, 3]])
    estimate = np.array([[0, 7, 7, 7], [9, 3, 3, 3]])
    assert label_ious(estimate, truth) == {
        0: pytest.approx(1 / 2),
        3: pytest.approx(3 / 4),
        7: pytest.approx(2 / 3),
    }


def test_presence_asks_every_pair_twice(film):
    from napari_samnet.datasets.published_masks import davis

    class Sees(Identity):
        def answer(self, pair):
            there = 0.9 if pair.group == 'present' else 0.1
            return Answer(super().answer(pair).correspondence, quality=there)

    protocol = Presence(davis(film))
    assert len(protocol) == 6
    methods = run_benchmark(protocol, [Sees()]).result['methods']
    assert methods['identity']['auroc'] == 1
    assert methods['identity']['absent_detected'] == 1
    blind = run_benchmark(protocol, [Identity()]).result['methods']
    assert blind['identity']['auroc'] == 0.5


@pytest.mark.slow
def test_optical_flow_goes_from_frame_to_frame(film):
    protocol = Series(read_sequences(film))
    (method,) = get_methods(['ilk'])
    answer = method.follow(protocol.load(0))
    assert len(answer.series) == 3
    # The picture stays, so the mask does.
    assert protocol.score(protocol.load(0), answer)['j'] < 0.7


@pytest.mark.slow
def test_the_network_follows_a_film_and_matches_pairs(film):
    protocol = Series(read_sequences(film))
    options = MatchOptions(size=64, window=5, iterations=1, device='cpu')
    pair = protocol.load(0)
    for method in get_methods(['samnet', 'pairwise'], options):
        answer = method.follow(pair)
        assert [mask.dtype for mask in answer.series] == [bool] * 3
        assert answer.series[0].shape == pair.target.shape[:2]
