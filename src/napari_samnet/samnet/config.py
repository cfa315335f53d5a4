"""What a network is built from, as its weights file says it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

#: Pixels per cell of relu4_1, and so of every field, at working size.
STRIDE = 8


@dataclass(frozen=True, kw_only=True)
class SAMNetConfig:
    """What a weights file must say so that the network can be built."""

    #: Feature network. The paper's is VGG-19.
    backbone: str = 'vgg16'
    #: Layers in which the correlation is taken; the paper's are
    #: ``('relu4_1',)``. Those of the light network come last.
    matching_layers: tuple[str, ...] = (
        'relu4_3',
        'relu5_1',
        'lite10',
        'lite12',
    )
    #: W_G: parameter-free estimate plus small residual network; the plan of
    #: RTNs, 20 million parameters; or that plan in `width` channels.
    matcher: str = 'residual'
    #: Whether the convolutions of VGG after relu4_3 are dilated, so that
    #: relu5_1 is told for every cell of relu4_1 and not for every second one.
    dilated: bool = False
    #: Search window that W_G was trained with.
    window: int = 9
    #: Channels of the finest level of W_G.
    width: int = 16
    #: Convolutions of W_D at the resolution of relu3_1.
    decoder_depth: int = 2
    #: Channels that the matching feature can be projected to, 0 for none.
    projection: int = 0
    #: Channels of the network that adds what the surroundings of a cell tell
    #: to the projected feature, 0 for none; see :mod:`.context`.
    context: int = 0
    #: Its layers that look around, each twice as far as the one before.
    context_layers: int = 2
    #: Whether that network also sees blocks of the light network that were
    #: taught with it; see :mod:`.taught_blocks`.
    taught_blocks: bool = False
    #: Channels of a second projection, in which it is told whether two places
    #: show the same thing, 0 for none.
    likeness: int = 0
    #: Whether (8) blends matchable points only, which is not in the paper's
    #: equation.
    gate: bool = True
    #: Whether the residual that W_G learned stands on the fit that follows
    #: the object, so that a match adds it by default; if not, it was learned
    #: in round windows, and is added there.
    guided: bool = False

    #: Inclusive limits of whole numbers: a damaged one must not fill memory.
    LIMITS: ClassVar[dict[str, tuple[int, int]]] = {
        'projection': (0, 4096),
        'context': (0, 1024),
        'context_layers': (1, 5),
        'likeness': (0, 4096),
    }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SAMNetConfig:
        """Build from :meth:`to_dict`'s values."""
        values = dict(values)
        # Files of earlier networks have them: the confidence lies beside the
        # weights, and what was taught is the projection itself.
        for name in ('evidence', 'taught'):
            values.pop(name, None)
        values['matching_layers'] = tuple(values['matching_layers'])
        config = cls(**values)
        for known in fields(cls):
            value = getattr(config, known.name)
            if type(value) is not type(known.default):
                raise TypeError(
                    f'{known.name} must be {type(known.default).__name__}, '
                    f'got {value!r}'
                )
            low, high = cls.LIMITS.get(known.name, (1, 64))
            if type(value) is int and not low <= value <= high:
                raise ValueError(
                    f'{known.name} must be from {low} to {high}, got {value}'
                )
        return config
