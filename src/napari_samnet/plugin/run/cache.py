"""Correspondences already found, by the content of the two images.

A second mask for the same pair then needs no matching. The key is the pixels
and the parameters rather than the layers, so that renaming or duplicating a
layer changes nothing and painting over an image does.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.recently_used import RecentlyUsed
from napari_samnet.correspondence import Correspondence
from napari_samnet.matching.region import Kept
from napari_samnet.options import MatchOptions


def pair_key(
    source: NDArray[Any],
    target: NDArray[Any],
    options: MatchOptions,
    weights: str,
    labels: NDArray[Any] | None = None,
    kept: Kept = (None, None),
) -> str:
    """Name the content of a pair and how it is matched.

    ``weights``: hash of the weights, since a file of the same name may change.
    ``kept``: pixels of source and target that are matched.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, image in (
        ('source', source),
        ('target', target),
        ('labels', labels),
        ('source region', kept[0]),
        ('target region', kept[1]),
    ):
        if image is None:
            continue
        digest.update(name.encode())
        digest.update(f'{image.shape}{image.dtype.str}'.encode())
        digest.update(np.ascontiguousarray(image).view(np.uint8).data)
    digest.update(repr((astuple(options), weights)).encode())
    return digest.hexdigest()


def _weight(correspondence: Correspondence) -> int:
    """Bytes that a correspondence holds."""
    arrays = (
        correspondence.forward,
        correspondence.backward,
        correspondence.forward_cell_confidence,
        correspondence.backward_cell_confidence,
        correspondence.transferred,
    )
    held = sum(array.nbytes for array in arrays if array is not None)
    return held + (
        correspondence.evidence.nbytes if correspondence.evidence else 0
    )


class CorrespondenceCache:
    """The most recently used correspondences, bounded in memory.

    ``limit``: bytes to hold. The newest entry is kept whatever its size.
    """

    def __init__(self, limit: int = 512 * 2**20) -> None:
        self._recent: RecentlyUsed[Correspondence] = RecentlyUsed(
            limit=limit, nbytes=_weight, least=1
        )
        self._other_names: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._recent)

    def get(self, key: str) -> Correspondence | None:
        """Return what was found for a key, if it is still held."""
        correspondence = self._recent.get(key)
        if correspondence is None and key in self._other_names:
            correspondence = self._recent.get(self._other_names[key])
        return correspondence

    def put(
        self, key: str, correspondence: Correspondence, other_name: str = ''
    ) -> None:
        """Hold a correspondence, and let go of the oldest beyond the limit.

        ``other_name``: key by which it is found as well, such as that without
        labels.
        """
        if other_name not in ('', key):
            self._other_names[other_name] = key
        self._recent.put(key, correspondence)

    def clear(self) -> None:
        """Let go of everything."""
        self._recent.clear()
        self._other_names.clear()
