"""napari: one annotated plane, labels on the whole stack.

Labels walk from the annotated plane outwards. Move the slider below the
image to see them.
"""

import napari

from napari_samnet.datasets.real_pairs import brain_series

sections, labels, _ = brain_series()
viewer = napari.Viewer()
viewer.add_image(sections, name='sections', rgb=True)
viewer.add_labels(labels, name='outlines')
viewer.dims.set_current_step(0, 2)

frame, transfer = viewer.window.add_plugin_dock_widget(
    'napari-samnet', 'Semantic transfer'
)
transfer.set_source('sections')
transfer.set_labels('outlines')
transfer.set_planes('propagate')
transfer.set_options(size=128, iterations=3)
transfer.run(wait=True)

if __name__ == '__main__':
    napari.run()
