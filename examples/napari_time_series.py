"""napari: one annotated plane, labels on the whole stack.

Labels walk from the annotated plane outwards. Move the slider below the
image to see them.
"""

import napari
import numpy as np

from napari_samnet.datasets.samples import load_sample

pair = load_sample('tissue')
views = [np.s_[12 * k : 400 + 12 * k, 16 * k : 400 + 16 * k] for k in range(5)]
labels = np.zeros((5, 400, 400), np.uint8)
labels[2] = pair.labels[views[2]]

viewer = napari.Viewer()
viewer.add_image(
    np.stack([pair.source[view] for view in views]), name='sections', rgb=True
)
viewer.add_labels(labels, name='glands')
viewer.dims.set_current_step(0, 2)

frame, transfer = viewer.window.add_plugin_dock_widget(
    'napari-samnet', 'Semantic transfer'
)
transfer.set_source('sections')
transfer.set_labels('glands')
transfer.set_planes('propagate')
transfer.set_options(size=128, iterations=3)
transfer.run(wait=True)

if __name__ == '__main__':
    napari.run()
