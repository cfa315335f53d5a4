"""Change of stain against a known answer."""

from __future__ import annotations

from typing import Any

from napari_samnet.datasets.real_pairs import brain_series, kidneys
from napari_samnet.datasets.synthetic import bundled_photograph
from napari_samnet.evaluation.interfaces import Image
from napari_samnet.evaluation.protocols.attributes import Attributes
from napari_samnet.evaluation.protocols.synthetic import Photographs
from napari_samnet.images.rgb import to_rgb

#: Pairs that are made from each bundled section.
REPEATS = 5


class Sections(Photographs):
    """The bundled sections: two of a kidney, two of a brain, one of a gut."""

    def __init__(self) -> None:
        pair, (brain, *_) = kidneys(), brain_series()
        self._sections: dict[str, Image] = {
            'kidney-he': to_rgb(pair.source),
            'kidney-pck': to_rgb(pair.target),
            'brain-1': to_rgb(brain[1]),
            'brain-4': to_rgb(brain[4]),
            'immunohistochemistry': bundled_photograph('immunohistochemistry'),
        }
        super().__init__(repeats=REPEATS)

    def __len__(self) -> int:
        return len(self._sections) * REPEATS

    @property
    def text(self) -> str:
        return 'sections that come with the package and with scikit-image'

    def load(self, index: int) -> tuple[str, str, Image]:
        turn, place = divmod(index, len(self._sections))
        name = list(self._sections)[place]
        return f'{name}-{turn}', '', self._sections[name]


class Stain(Attributes):
    """Sections in other stains, scored as the attributes are.

    Colors and strengths of three stains change at random, so that the right
    answer is known in every pixel.
    """

    name = 'stain'
    default_methods = (
        'samnet', 'nearest', 'identity', 'warp', 'reinhard', 'histogram',
        'macenko', 'transport',
    )  # fmt: skip
    kinds = ('stain',)

    def settings(self) -> dict[str, Any]:
        return super().settings() | {
            'change': 'colors and strengths of three stains'
        }
