"""Two parts of a match at the same time."""

from __future__ import annotations

import threading

import pytest
import torch

from napari_samnet.runtime.side_by_side import side_by_side


@pytest.fixture
def two_threads(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr('napari_samnet.runtime.side_by_side.cores', lambda: 2)
    yield
    torch.set_num_threads(before)


def test_both_run_at_once_with_a_share_of_the_threads(two_threads):
    both = threading.Barrier(2, timeout=20)

    def work() -> int:
        both.wait()
        return torch.get_num_threads()

    assert side_by_side(work, work) == (1, 1)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize('which', [0, 1])
def test_errors_come_out_when_both_have_ended(two_threads, which):
    ended = []

    def fail() -> None:
        raise ValueError('this one')

    pair = [fail, lambda: ended.append(1)]
    with pytest.raises(ValueError, match='this one'):
        side_by_side(*(pair if which else pair[::-1]))
    assert ended == [1]
    assert torch.get_num_threads() == 2


def test_one_after_the_other_beside_a_graphics_card(two_threads):
    ident = threading.get_ident
    first, second = side_by_side(ident, ident, device='cuda')
    assert first == second
