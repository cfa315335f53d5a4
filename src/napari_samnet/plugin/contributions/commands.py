"""Commands of the palette and the Layers menu: one click from a selection.

They open the dock and work through it, so that progress, Cancel and messages
are where the user expects them.
"""

from __future__ import annotations

from typing import Any

import napari.viewer
from napari.layers import Image, Labels, Points, Shapes
from napari.utils.notifications import show_error

from napari_samnet.errors import InputError
from napari_samnet.plugin.transfer.docks import open_dock
from napari_samnet.plugin.widgets.choosers import unwrapped


def _selected(viewer: Any, kinds: tuple[type, ...]) -> list[Any]:
    chosen = viewer.layers.selection
    return [
        unwrapped(x)
        for x in viewer.layers
        if x in chosen and isinstance(x, kinds)
    ]


def match_selected(viewer: napari.viewer.Viewer) -> None:
    """Match the two selected images.

    ``viewer``: its lower selected image is the source, the upper the target,
    unless the dock holds the two already. napari selects what was opened last:
    one image of that pair alone means the pair. Selected labels are carried
    along.
    """
    images = _selected(viewer, (Image,))
    labels = _selected(viewer, (Labels,))
    widget = open_dock(viewer)
    try:
        held = {widget.source, widget.target}
        if not held.issuperset(images):
            if len(images) != 2:
                raise InputError(f'Select two images, not {len(images)}')
            widget.set_source(images[0])
            widget.set_target(images[1])
        if labels:
            widget.set_labels(labels[0])
        widget.run()
    except InputError as error:
        show_error(str(error))


def transfer_selected(viewer: napari.viewer.Viewer) -> None:
    """Carry the selected annotations from the source to the target.

    ``viewer``: its selected Labels, Points and Shapes are carried.
    """
    masks = _selected(viewer, (Labels, Points, Shapes))
    widget = open_dock(viewer)
    try:
        if not masks:
            raise InputError('Select Labels, Points or Shapes to transfer')
        widget.transfer(*masks)
    except InputError as error:
        show_error(str(error))
