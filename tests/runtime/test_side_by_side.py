"""Two parts of a match at the same time."""

from __future__ import annotations

import threading

import pytest
import torch

from napari_samnet.runtime.side_by_side import (
    all_threads,
    beside,
    side_by_side,
)


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


def test_things_are_done_beside_in_their_order(two_threads):
    done = []
    with beside('cpu') as later:
        second = later(lambda: done.append(2) or all_threads())
        first = later(
            lambda: done.append(1) or threading.get_ident(), soon=True
        )
        assert torch.get_num_threads() == 1
    assert done == [1, 2]
    assert first.result() != threading.get_ident()
    assert second.result() == torch.get_num_threads() == 2


def test_what_nobody_has_begun_is_done_by_who_asks_for_it(two_threads):
    with beside('cpu') as later:
        waits = later(threading.get_ident)
        assert waits.result() == threading.get_ident()


def test_who_waits_does_meanwhile_what_else_is_put_off(two_threads):
    begun, helped = threading.Event(), threading.Event()

    def long() -> bool:
        begun.set()
        return helped.wait(timeout=20)

    def other() -> int:
        helped.set()
        return threading.get_ident()

    with beside('cpu') as later:
        waited = later(long, soon=True)
        done = later(other)
        assert begun.wait(timeout=20)
        assert waited.result()
    assert done.result() == threading.get_ident()


def test_with_one_core_things_are_done_when_they_are_asked_for(monkeypatch):
    monkeypatch.setattr('napari_samnet.runtime.side_by_side.cores', lambda: 1)
    done = []
    with beside('cpu') as later:
        wanted = later(lambda: done.append(1))
        later(lambda: done.append(2))
        wanted.result()
    assert done == [1]


def test_what_fails_beside_is_told_to_who_asks(two_threads):
    with beside('cpu') as later:
        failed = later(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failed.result()
    assert torch.get_num_threads() == 2
