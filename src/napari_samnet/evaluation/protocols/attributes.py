"""Attribute transfer against a known answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from skimage.transform import resize

from napari_samnet.datasets.appearance_changes import change, regions
from napari_samnet.datasets.metrics import (
    delta_e,
    edge_ssim,
    label_accuracy,
    mean_iou,
    psnr,
    ssim,
)
from napari_samnet.datasets.synthetic import (
    BUNDLED,
    WarpRanges,
    random_field,
    warp_photograph,
)
from napari_samnet.evaluation.interfaces import (
    Answer,
    Image,
    Pair,
    Panel,
    Scores,
)
from napari_samnet.evaluation.protocols.synthetic import PhotographPairs
from napari_samnet.images.rgb import to_rgb

#: Longest side of the pairs, in pixels.
SIDE = 320

#: Share of RTNs' ranges: both images must still show the same things.
STRENGTH = 0.5


@dataclass(frozen=True)
class _Known:
    flow: NDArray[np.float64]
    image: Image
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    target_labels: NDArray[np.uint8]


class Attributes(PhotographPairs):
    """The transferred image against the one that it should be.

    The target is a photograph with changed attributes, the source a warp of
    the photograph as it was; the right answer is the same warp of the target.
    The changes take turns: color curves per region, hue, texture, blur.
    `psnr`, `ssim` and `delta_e` compare with the right answer, `edge_ssim`
    with the source, all where the target shows what the source shows. `iou`
    and `lt_acc` say how well the regions were carried to the target.
    A method that makes no image is taken at its plain warp of the target.
    """

    name = 'attributes'
    ranking = 'psnr'
    default_methods: ClassVar[tuple[str, ...]] = (
        'samnet',
        'nearest',
        'identity',
        'warp',
        'reinhard',
        'histogram',
    )

    #: Changes that take turns, keys of `CHANGES`.
    kinds: ClassVar[tuple[str, ...]] = ('curves', 'hue', 'texture', 'blur')

    def settings(self) -> dict[str, Any]:
        return {
            'direction': 'attributes of the target given to the source',
            'images': self._photographs.text,
            'longest_side': SIDE,
            'warp': f'{STRENGTH:g} of the ranges of RTNs',
            'seed': self._seed,
        }

    def load(self, index: int) -> Pair:
        name, _, photograph = self._photographs.load(index)
        rng = np.random.default_rng([self._seed, index, 1])
        scale = SIDE / max(photograph.shape[:2])
        shape = tuple(
            max(32, round(side * scale)) for side in photograph.shape[:2]
        )
        before = resize(photograph, shape, order=1, anti_aliasing=True).astype(
            np.float32
        )
        # Bundled photographs come round in turn, so a plain remainder would
        # tie every photograph to one change.
        kind = self.kinds[(index + index // len(BUNDLED)) % len(self.kinds)]
        target_labels = regions(before, rng)
        target = change(before, kind, target_labels, rng)
        flow = random_field(
            (shape[0], shape[1]), rng, WarpRanges().times(STRENGTH)
        )
        source, valid = warp_photograph(before, flow)
        answer, _ = warp_photograph(target, flow)
        labels = map_coordinates(
            target_labels,
            np.indices(shape) + np.moveaxis(flow, -1, 0),
            order=0,
            mode='mirror',
        )
        known = _Known(flow, answer, valid, labels, target_labels)
        return Pair(name, kind, source, target, known)

    def score(self, pair: Pair, answer: Answer) -> Scores:
        image, truth = _transferred(pair, answer), pair.truth
        labels = answer.correspondence.warp_labels(truth.labels)
        return {
            'psnr': psnr(image, truth.image, truth.valid),
            'ssim': ssim(image, truth.image, truth.valid),
            'delta_e': delta_e(image, truth.image, truth.valid),
            'edge_ssim': edge_ssim(image, pair.source, truth.valid),
            'iou': mean_iou(labels, truth.target_labels),
            'lt_acc': label_accuracy(labels, truth.target_labels),
        }

    def panels(self, pair: Pair, answer: Answer) -> list[Panel]:
        return [
            ('source', pair.source),
            ('target', pair.target),
            ('right answer', pair.truth.image),
            ('transferred', _transferred(pair, answer)),
        ]


def _transferred(pair: Pair, answer: Answer) -> Image:
    """Image of the answer, or the target warped onto the source."""
    match = answer.correspondence
    image = match.transferred
    if image is None:
        image = match.warp_image(pair.target, to='source')
    return np.clip(to_rgb(image, name='the transferred image'), 0, 1)
