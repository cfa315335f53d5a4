"""The convolutions of VGG-16 and VGG-19."""

from __future__ import annotations

#: Convolutions per block and their channels (Simonyan & Zisserman, 2015).
_DEPTHS = {'vgg16': (2, 2, 3, 3, 3), 'vgg19': (2, 2, 4, 4, 4)}
_CHANNELS = (64, 128, 256, 512, 512)


def layer_plan(backbone: str) -> list[tuple[str, int]]:
    """Name and channels of every convolution, in order.

    Names are those of the activations, ``relu1_1`` to ``relu5_3``
    (``relu5_4`` for VGG-19).
    """
    if backbone not in _DEPTHS:
        raise ValueError(
            f'backbone must be one of {", ".join(_DEPTHS)}, got {backbone!r}'
        )
    return [
        (f'relu{block}_{index}', channels)
        for block, (depth, channels) in enumerate(
            zip(_DEPTHS[backbone], _CHANNELS, strict=True), start=1
        )
        for index in range(1, depth + 1)
    ]
