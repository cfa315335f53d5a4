"""Hide warped labels that the match is not sure of, and show them again."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_samnet.plugin.layers.results import Warped

__all__ = ['set_threshold']


def set_threshold(layer: Any, warped: Warped, threshold: float) -> int:
    """Hide what is below a confidence, and show what no longer is.

    Only what a run wrote is hidden, and only what was hidden comes back:
    labels the user painted or erased meanwhile stay as they are. It can be
    undone like any other edit.

    Parameters
    ----------
    layer : napari.layers.Labels
        Layer of warped labels.
    warped : Warped
        What is known of it; its threshold is set.
    threshold : float
        Smallest confidence to show, from 0 to 1.

    Returns
    -------
    int
        Number of pixels changed.
    """
    before, warped.threshold = warped.threshold, threshold
    changes = []
    values = []
    for index, found in warped.found.items():
        full = warped.full[index]
        shown = np.asarray(layer.data[index])
        sure = found.backward_confidence_map
        hide = (sure < threshold) & (shown == full) & (full != 0)
        back = (sure >= threshold) & (sure < before) & (shown == 0)
        back &= full != 0
        at = np.nonzero(hide | back)
        changes.append(
            np.concatenate(
                [
                    np.broadcast_to(
                        np.array(index, int)[:, None],
                        (len(index), at[0].size),
                    ),
                    np.stack(at),
                ]
            )
        )
        values.append(np.where(hide, 0, full)[at])
    if not changes:
        return 0
    indices = tuple(np.concatenate(changes, axis=1))
    new = np.concatenate(values)
    if new.size:
        layer.data_setitem(indices, new)
    return int(new.size)
