"""What was used last, bounded in number and memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar('Value')


class RecentlyUsed(Generic[Value]):
    """The values that were used last, by key; safe in several threads.

    ``count``: how many to hold at most.
    ``limit``: bytes to hold at most, as ``nbytes`` gives them for a value.
    ``least``: how many of the latest to hold whatever their size.
    """

    def __init__(
        self,
        *,
        count: int | None = None,
        limit: int | None = None,
        nbytes: Callable[[Value], int] = lambda _: 0,
        least: int = 0,
    ) -> None:
        self._count = count
        self._limit = limit
        self._nbytes = nbytes
        self._least = least
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        with self._lock:
            return sum(map(self._nbytes, self._values.values()))

    def get(self, key: Hashable) -> Value | None:
        """The value of a key, or None if it is not held."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        """Hold a value, and let go of the oldest ones beyond the bounds."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            total = sum(map(self._nbytes, self._values.values()))
            while len(self._values) > self._least and (
                (self._count is not None and len(self._values) > self._count)
                or (self._limit is not None and total > self._limit)
            ):
                _, oldest = self._values.popitem(last=False)
                total -= self._nbytes(oldest)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._values.clear()
