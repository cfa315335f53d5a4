"""What was used last is held, within bounds."""

from __future__ import annotations

from napari_samnet.arrays.recently_used import RecentlyUsed


def test_the_oldest_goes_first() -> None:
    held: RecentlyUsed[str] = RecentlyUsed(count=2)
    held.put('a', 'A')
    held.put('b', 'B')
    assert held.get('a') == 'A'
    held.put('c', 'C')
    assert held.get('b') is None
    assert (held.get('a'), held.get('c'), len(held)) == ('A', 'C', 2)


def test_bytes_are_bounded_but_for_the_latest() -> None:
    bounded: RecentlyUsed[bytes] = RecentlyUsed(limit=4, nbytes=len)
    bounded.put(1, b'abc')
    bounded.put(2, b'de')
    assert (bounded.get(1), bounded.nbytes) == (None, 2)
    bounded.put(3, b'fghij')
    assert len(bounded) == 0

    latest: RecentlyUsed[bytes] = RecentlyUsed(limit=4, nbytes=len, least=1)
    latest.put(1, b'fghij')
    assert latest.get(1) == b'fghij'
    latest.clear()
    assert len(latest) == 0
