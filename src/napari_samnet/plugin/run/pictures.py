"""Small pictures of a run, while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence

#: Side of the pictures shown during a run.
PICTURE = 160

#: Share of the time that transferred images on the way may cost.
PICTURE_SHARE = 0.2


def _small(
    image: NDArray[Any], shape: tuple[int, int], name: str
) -> NDArray[np.uint8]:
    """Thumbnail as 8-bit RGB, in little time however large the image is."""
    from PIL.Image import Resampling, fromarray

    from napari_samnet.images.rgb import to_rgb

    steps = [
        max(1, size // (2 * n))
        for n, size in zip(shape, image.shape, strict=False)
    ]
    some = image[:: steps[0], :: steps[1]]
    axis = 2 if some.ndim == 3 else None
    rgb = to_rgb(some, name=name, channel_axis=axis)
    picture = fromarray(np.rint(rgb * 255).astype(np.uint8))
    return np.asarray(picture.resize(shape[::-1], Resampling.BILINEAR))


def _thumbnails(
    correspondence: Correspondence,
) -> dict[str, NDArray[np.uint8]]:
    """Field and, where there is one, transferred image, both small."""
    from napari_samnet.outputs.colormaps import flow_to_rgb

    rows, cols = correspondence.source_shape
    scale = PICTURE / max(rows, cols)
    shape = max(1, round(rows * scale)), max(1, round(cols * scale))
    length = np.linalg.norm(correspondence.forward, axis=-1)
    field = flow_to_rgb(
        correspondence.forward, float(np.percentile(length, 98))
    )
    made = {'field': _small(field, shape, 'field')}
    if correspondence.transferred is not None:
        made['image'] = _small(
            correspondence.transferred, shape, 'transferred'
        )
    return made


def picture_of(correspondence: Correspondence) -> NDArray[np.uint8]:
    """Transferred image and field side by side, small.

    Returns: (rows, columns, 4): RGBA; the field alone where nothing was
    transferred.
    """
    made = _thumbnails(correspondence)
    return _beside([made[n] for n in ('image', 'field') if n in made])


def _beside(panels: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Panels in a row on a clear ground, with a space between them."""
    opaque = [
        np.dstack([p, np.full(p.shape[:2], 255, np.uint8)]) for p in panels
    ]
    space = np.zeros((panels[0].shape[0], PICTURE // 20, 4), np.uint8)
    parts = [part for panel in opaque for part in (panel, space)]
    return np.concatenate(parts[:-1], axis=1)


class RunPictures:
    """Makes pictures of a run, but only as long as they cost little.

    The field is shown after every iteration. The transferred image takes
    longer than an iteration does, so it is made anew only now and then.
    """

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._start = time.perf_counter()
        self._spent = self._last = 0.0
        self._image: NDArray[np.uint8] | None = None

    def of(
        self, index: int, snapshot: Callable[..., Correspondence] | None
    ) -> NDArray[np.uint8] | None:
        """Picture of the state after an iteration, or None."""
        if not self._live or snapshot is None:
            return None
        now = time.perf_counter()
        share = PICTURE_SHARE * (now - self._start)
        # The first iteration is far from the result.
        due = index > 1 and self._spent + self._last <= share
        made = _thumbnails(snapshot(transfer=due))
        if due:
            self._last = time.perf_counter() - now
            self._spent += self._last
            self._image = made.get('image')
        panels = [self._image, made['field']]
        return _beside([panel for panel in panels if panel is not None])
