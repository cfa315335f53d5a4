"""Features of the images seen last, by their content.

A second run on the same image, be it with another window or against another
target, then spares the encoding.
"""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor

from napari_samnet.arrays.recently_used import RecentlyUsed
from napari_samnet.samnet.features import Features


def bytes_of(features: Features) -> int:
    """Memory that features hold."""
    parts: tuple[Tensor, ...] = (
        features.matching,
        features.content,
        *features.skips,
        *(() if features.unprojected is None else (features.unprojected,)),
    )
    return sum(part.nbytes for part in parts)


class FeatureCache:
    """The most recently used features, bounded in number and memory.

    ``images``: how many to hold at most. ``limit``: bytes to hold at most.
    What is larger alone is not held at all.
    """

    def __init__(self, *, images: int = 4, limit: int = 256 * 2**20) -> None:
        self._recent: RecentlyUsed[Features] = RecentlyUsed(
            count=images, limit=limit, nbytes=bytes_of
        )
        #: How often :meth:`get` had nothing to give.
        self.misses = 0
        self.put = self._recent.put
        self.clear = self._recent.clear

    def __len__(self) -> int:
        return len(self._recent)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._recent.nbytes

    def get(self, key: Hashable, *, skips: bool) -> Features | None:
        """Features of a key, or None if they are not held with the skips."""
        features = self._recent.get(key)
        if features is None or (skips and not features.skips):
            self.misses += 1
            return None
        return features


#: Of this process.
FEATURES = FeatureCache()
