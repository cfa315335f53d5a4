"""What a button can do about a refusal, or a result that is not seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from napari_samnet.errors import InputError

#: Kinds of remedies: their texts on a button.
CONVERT = 'Convert to labels'
PLANE = 'Use this plane'
RESAMPLE = 'Resample'
BESIDE = 'Lay side by side'
CHANNELS = 'Put channels first'

#: What a button of each kind does.
TIPS = {
    CONVERT: (
        'Add a layer of labels with what this image holds: numbers as ids, '
        'painted colors as one id each. The image stays.'
    ),
    PLANE: 'Take the plane that is shown, and none of the others.',
    BESIDE: (
        'The source covers the target with what was added there: move the '
        'target to its right. Lay back undoes it.'
    ),
    CHANNELS: (
        'Turn the axes of this image, so that its channels come before its '
        'planes. Its pixels and its place stay as they are.'
    ),
    RESAMPLE: (
        'Add a copy of the labels on the pixels of the source, nearest '
        'neighbor, so that they cover all of it. The original stays.'
    ),
}


@dataclass(frozen=True)
class Remedy:
    """The next step, as a button can take it."""

    #: What is done, which is the text of the button.
    kind: str
    #: The layer that was refused, or the path of a file; None where it is the
    #: choice of planes, or the target.
    subject: Any = None

    @property
    def tip(self) -> str:
        """What the button does, in a sentence."""
        return TIPS[self.kind]


class RefusalError(InputError):
    """An input that cannot be used as it is, and what can be done."""

    def __init__(self, message: str, remedy: Remedy) -> None:
        super().__init__(message)
        self.remedy = remedy


def remedies_of(errors: Iterable[InputError]) -> list[Remedy]:
    """Remedies of those errors that have one, in order."""
    return [
        error.remedy for error in errors if isinstance(error, RefusalError)
    ]
