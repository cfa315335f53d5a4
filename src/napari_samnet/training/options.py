"""The options of a training run: defaults, limits and their texts.

Torch is not imported here, so that the command line's help and the widget
can be made from :class:`TrainingOptions`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from napari_samnet.errors import InputError
from napari_samnet.parameters import CHOICES

__all__ = [
    'FINE_TUNING_DEFAULTS',
    'TRAINING_CHOICES',
    'TRAINING_DEFAULTS',
    'TRAINING_LIMITS',
    'TrainingOptions',
    'option_names',
]

#: Inclusive limits of the numbers, for widgets and checks alike.
TRAINING_LIMITS: dict[str, tuple[float, float]] = {
    'decoder_steps': (0, 1_000_000),
    'matcher_steps': (0, 1_000_000),
    'pairs': (1, 100_000),
    'iterations': (1, 20),
    'size': (64, 1024),
    'crop': (32, 1024),
    'decoder_batch': (1, 256),
    'matcher_batch': (1, 256),
    'decoder_rate': (1e-5, 1e-1),
    'matcher_rate': (1e-5, 1e-1),
    'seed': (0, 2**31 - 1),
}

TRAINING_CHOICES: dict[str, tuple[str, ...]] = {
    'device': CHOICES['device'],
    'precision': ('auto', 'fp32', 'bf16'),
    'preprocessing': ('oxford', 'torchvision'),
}


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a network is trained.

    Parameters
    ----------
    decoder_steps : int
        Steps of the decoder as an auto-encoder. 0 leaves it as it is.
    matcher_steps : int
        Steps of the matching network on synthetic pairs. 0 leaves it as it
        is.
    pairs : int
        Synthetic pairs whose features are kept. Each takes 4 MB of memory at
        size 256.
    iterations : int
        Matching iterations L in training.
    size : int
        Side in pixels to which the images are resized.
    crop : int
        Side in pixels of the decoder's training crops.
    decoder_batch : int
        Crops per step of the decoder.
    matcher_batch : int
        Pairs per step of the matching network.
    decoder_rate : float
        Peak learning rate of the decoder.
    matcher_rate : float
        Peak learning rate of the matching network.
    start : str
        Weights to start from: a packaged or own network's name, or a file.
        Empty to build a new network around an ImageNet backbone.
    backbone_weights : str
        File with the backbone's ImageNet weights, for a new network. Empty
        to have torchvision download its own.
    preprocessing : str
        What those weights expect, 'oxford' or 'torchvision'.
    seed : int
        Of all random numbers.
    device : str
        Where to train. 'auto' takes CUDA, then Apple's MPS, then the CPU.
    precision : str
        Arithmetic of the convolutions. 'auto' takes bf16 where the hardware
        computes in it, fp32 elsewhere.
    """

    decoder_steps: int = 3600
    matcher_steps: int = 1500
    pairs: int = 1200
    iterations: int = 4
    size: int = 256
    crop: int = 128
    decoder_batch: int = 4
    matcher_batch: int = 6
    decoder_rate: float = 6e-4
    matcher_rate: float = 1e-3
    start: str = ''
    backbone_weights: str = ''
    preprocessing: str = 'oxford'
    seed: int = 0
    device: str = 'auto'
    precision: str = 'auto'

    def __post_init__(self) -> None:
        for name, (low, high) in TRAINING_LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(
                    f'{name} must be from {low:g} to {high:g}, got {value}'
                )
        if self.size % 32 or self.crop % 16 or self.crop > self.size:
            raise InputError(
                f'size must be a multiple of 32 and crop a multiple of 16 '
                f'not larger than size, got size {self.size} and crop '
                f'{self.crop}'
            )
        if self.preprocessing not in TRAINING_CHOICES['preprocessing']:
            raise InputError(
                f"preprocessing must be 'oxford' or 'torchvision', got "
                f'{self.preprocessing!r}'
            )

    @property
    def checked(self) -> int:
        """Pairs with which the error is measured; few if few are learnt."""
        return max(8, min(40, self.pairs // 4))


#: The recipe of the packaged weights.
TRAINING_DEFAULTS = TrainingOptions()

#: Some minutes on a laptop, from a network that is trained already.
FINE_TUNING_DEFAULTS = TrainingOptions(
    start='samnet',
    decoder_steps=0,
    matcher_steps=100,
    pairs=96,
    matcher_batch=4,
    matcher_rate=3e-4,
)


def option_names() -> tuple[str, ...]:
    """Names of all options, in the order of the docstring."""
    return tuple(field.name for field in fields(TrainingOptions))
