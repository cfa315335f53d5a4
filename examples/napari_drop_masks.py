"""napari: carry labels, points and shapes, the second for nothing.

The images are matched once. Whatever is carried after that takes a fraction
of a second.
"""

import time

import napari

from napari_samnet.datasets.samples import load_sample

pair = load_sample('cat')
viewer = napari.Viewer()
viewer.add_image(pair.source, name='by day')
viewer.add_image(pair.target, name='by night')
viewer.add_labels(pair.labels, name='eyes and nose')
viewer.add_points([[114, 170], [136, 318]], name='pupils')
viewer.add_shapes(
    [[[225, 220], [265, 295]]], shape_type='rectangle', name='nose'
)

frame, transfer = viewer.window.add_plugin_dock_widget(
    'napari-samnet', 'Semantic transfer'
)
transfer.set_source('by day')
transfer.set_target('by night')
transfer.set_options(size=128, iterations=3)
for name in ('eyes and nose', 'pupils', 'nose'):
    start = time.perf_counter()
    transfer.transfer(name, wait=True)
    print(f'{name}: {time.perf_counter() - start:.2f} s')

if __name__ == '__main__':
    napari.run()
