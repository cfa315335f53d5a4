"""How far a match has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_samnet.correspondence import Correspondence


@dataclass(frozen=True)
class Step:
    """Progress of a match.

    Attributes
    ----------
    index : int
        Iterations done; 0 while preparing.
    total : int
        Largest number of iterations.
    text : str
        What was done or is being done.
    change : float or None
        Mean change of the field in this iteration, in pixels at working
        size; None while preparing.
    snapshot : callable or None
        Gives the :class:`~napari_samnet.Correspondence` so far; None while
        preparing. ``snapshot(transfer=False)`` leaves out the transferred
        image, which takes longer than an iteration; ``snapshot(final=True)``
        is the result of a match that ends here, down to the pixel.
    """

    index: int
    total: int
    text: str
    change: float | None = None
    snapshot: Callable[..., Correspondence] | None = None
