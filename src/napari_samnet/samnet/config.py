"""What a network is built from, as its weights file says it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ['SAMNetConfig']


@dataclass(frozen=True, kw_only=True)
class SAMNetConfig:
    """What a weights file must say so that the network can be built.

    Parameters
    ----------
    backbone : {'vgg16', 'vgg19'}
        Feature network. The paper's is VGG-19.
    matching_layers : tuple of str
        Layers in which the correlation is taken; the paper's are
        ``('relu4_1',)``. Those of the light network come last.
    matcher : {'residual', 'rtn'}
        W_G: parameter-free estimate plus small residual network, or the
        plan of RTNs.
    window : int
        Search window that W_G was trained with.
    width : int
        Channels of the residual network's finest level.
    decoder_depth : int
        Convolutions of W_D at the resolution of relu3_1.
    """

    backbone: str = 'vgg16'
    matching_layers: tuple[str, ...] = (
        'relu4_3',
        'relu5_1',
        'lite10',
        'lite12',
    )
    matcher: str = 'residual'
    window: int = 9
    width: int = 16
    decoder_depth: int = 2

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SAMNetConfig:
        """Build from :meth:`to_dict`'s values."""
        values = dict(values)
        values['matching_layers'] = tuple(values['matching_layers'])
        config = cls(**values)
        for known in fields(cls):
            value = getattr(config, known.name)
            if type(value) is not type(known.default):
                raise TypeError(
                    f'{known.name} must be {type(known.default).__name__}, '
                    f'got {value!r}'
                )
            # A damaged number must not fill the memory.
            if isinstance(value, int) and not 1 <= value <= 64:
                raise ValueError(
                    f'{known.name} must be from 1 to 64, got {value}'
                )
        return config
