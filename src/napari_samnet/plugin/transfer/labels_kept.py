"""Which labels were chosen with which image, so that they follow it.

Two images of one size lie on each other: where labels lie does not tell which
of the two they were drawn on.
"""

from __future__ import annotations

from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref


class LabelsKept:
    """Remembers the labels of each image that was the source."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[
            Any, tuple[ReferenceType[Any] | None, bool]
        ] = WeakKeyDictionary()

    def keep(self, image: Any, labels: Any, *, by_user: bool) -> None:
        """Remember what was chosen with an image.

        ``labels`` (napari.layers.Labels or None): layer that annotates it;
        None if there was none.
        ``by_user``: whether the user has chosen them, or that there are none.
        """
        self._of[image] = (None if labels is None else ref(labels), by_user)

    def of(self, image: Any) -> tuple[Any, bool]:
        """Recall the labels of an image.

        Returns: the labels, None if there were none or they are gone; whether
        the user has chosen them.
        """
        labels, by_user = self._of.get(image, (None, False))
        return (None if labels is None else labels()), by_user

    def is_of_another(self, labels: Any, image: Any) -> bool:
        """Whether labels were used with other images, and not with this."""
        owners = [
            one
            for one, (kept, _) in self._of.items()
            if kept is not None and kept() is labels
        ]
        return bool(owners) and image not in owners
