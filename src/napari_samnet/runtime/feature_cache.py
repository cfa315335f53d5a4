"""Features of the images seen last, by their content.

A second run on the same image, be it with another window or against another
target, then spares the encoding.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock

from torch import Tensor

from napari_samnet.samnet.features import Features


def bytes_of(features: Features) -> int:
    """Memory that features hold."""
    parts: tuple[Tensor, ...] = (
        features.matching,
        features.content,
        *features.skips,
    )
    return sum(part.nbytes for part in parts)


class FeatureCache:
    """The most recently used features, bounded in number and memory.

    ``images``: how many to hold at most. ``limit``: bytes to hold at most.
    What is larger alone is not held at all.
    """

    def __init__(self, *, images: int = 4, limit: int = 256 * 2**20) -> None:
        self._images = images
        self._limit = limit
        self._held: OrderedDict[Hashable, Features] = OrderedDict()
        self._misses = 0
        # Several matches may run in threads.
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        with self._lock:
            return self._total()

    @property
    def misses(self) -> int:
        """How often :meth:`get` had nothing to give."""
        return self._misses

    def _total(self) -> int:
        return sum(map(bytes_of, self._held.values()))

    def get(self, key: Hashable, *, skips: bool) -> Features | None:
        """Features of a key, or None if they are not held with the skips."""
        with self._lock:
            features = self._held.get(key)
            if features is None or (skips and not features.skips):
                self._misses += 1
                return None
            self._held.move_to_end(key)
            return features

    def put(self, key: Hashable, features: Features) -> None:
        """Hold features, and let go of the oldest beyond the bounds."""
        with self._lock:
            self._held[key] = features
            self._held.move_to_end(key)
            while len(self._held) > self._images or (
                self._held and self._total() > self._limit
            ):
                self._held.popitem(last=False)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._held.clear()


#: Of this process.
FEATURES = FeatureCache()
