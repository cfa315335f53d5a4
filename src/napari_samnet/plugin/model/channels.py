"""Which axis, or which layers, of an image are its channels."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from napari.layers import Image

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.capture import METADATA, Stack, stack_of
from napari_samnet.plugin.model.grids import grid_of, shape_of
from napari_samnet.plugin.model.resampled import same_pixels

#: More entries on an axis than this are planes.
MOST = 8

#: Labels of an axis that holds channels.
NAMES = ('c', 'ch', 'channel', 'channels')

#: Choices beside an axis: all leading axes are planes; layers of the same
#: shape and place are the channels.
PLANES, TOGETHER = 'planes', 'together'


class Channels:
    """Remembers what was declared of each image.

    ``viewer``: where the layers are.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._chosen: dict[Hashable, int | str] = {}

    def choices(self, layer: Any) -> dict[int | str, str]:
        """What can be declared of an image, and its text.

        Returns: texts by axis, `PLANES` or `TOGETHER`; one entry if there is
        no choice.
        """
        choices: dict[int | str, str] = {PLANES: 'none'}
        if layer.rgb:
            return choices
        shape = shape_of(layer)
        for axis, size in enumerate(shape[:-2]):
            if 2 <= size <= MOST:
                label = str(layer.axis_labels[axis])
                choices[axis] = f'{size} on axis {label}'
        count = len(self._alike(layer))
        if 2 <= count <= MOST:
            choices[TOGETHER] = f'these {count} layers together'
        return choices

    def chosen(self, layer: Any) -> int | str:
        """What holds for an image: what was declared, or its axis labels."""
        choices = self.choices(layer)
        declared = self._chosen.get(layer.unique_id)
        if declared in choices:
            return declared
        for axis in choices:
            if isinstance(axis, int):
                label = str(layer.axis_labels[axis]).lower()
                if label in NAMES:
                    return axis
        return PLANES

    def choose(self, layer: Any, choice: int | str) -> None:
        """Declare the channels of an image.

        Raises InputError if it cannot have these.
        """
        choices = self.choices(layer)
        if choice not in choices:
            taken = ', '.join(map(str, choices))
            raise InputError(
                f'channels of {layer.name!r} must be one of {taken}, got '
                f'{choice!r}'
            )
        self._chosen[layer.unique_id] = choice

    def has_planes(self, layer: Any) -> bool:
        """Whether an image has leading axes that are not its channels."""
        leading = len(shape_of(layer)) - 2
        return leading > isinstance(self.chosen(layer), int)

    def stack(self, layer: Any) -> Stack:
        """Read an image with its channels."""
        choice = self.chosen(layer)
        if choice == TOGETHER:
            return stack_of(layer, parts=self._alike(layer))
        if isinstance(choice, int):
            return stack_of(layer, channel_axis=choice)
        return stack_of(layer)

    def _alike(self, layer: Any) -> list[Any]:
        """Gray images of the same pixels that were added together."""
        stem = layer.name.rsplit(' [', 1)[0]
        shape, grid = shape_of(layer), grid_of(layer)
        return [
            other
            for other in self._viewer.layers
            if isinstance(other, Image)
            and not other.rgb
            and METADATA not in other.metadata
            and shape_of(other) == shape
            and (
                other.name.rsplit(' [', 1)[0] == stem
                or other.blending == layer.blending == 'additive'
            )
            and same_pixels(grid_of(other), grid)
        ]
