"""A viewer with a pair of images, the dock, and a run under way."""

from __future__ import annotations

from typing import Any

from napari_samnet.datasets import DEMO_PAIR
from napari_samnet.plugin.contributions.sample_data import sample_layers
from napari_samnet.plugin.transfer.docks import open_dock


def open_demo(viewer: Any = None, pair: str = DEMO_PAIR) -> Any:
    """Open a sample pair in napari and match it.

    ``viewer`` (napari.Viewer): where; by default a new one. Returns: the
    viewer, with the run under way. ``napari.run()`` is for the caller.
    """
    if viewer is None:
        import napari

        viewer = napari.Viewer(title='napari-samnet')
    from napari.layers import Layer

    layers = [Layer.create(*data) for data in sample_layers(pair)]
    viewer.layers.extend(layers)
    viewer.reset_view()
    widget = open_dock(viewer)
    source, labels, target = layers
    widget.set_source(source)
    widget.set_target(target)
    widget.set_labels(labels)
    widget.run()
    return viewer
