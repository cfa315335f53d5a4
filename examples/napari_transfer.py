"""napari: open two images, run, and have the labels on both.

The dock is filled in from Python, and the window stays for looking and
painting.
"""

import napari

from napari_samnet.datasets.samples import load_sample

pair = load_sample('jug')
viewer = napari.Viewer()
viewer.add_image(pair.source, name='jug')
viewer.add_labels(pair.labels, name='parts')
viewer.add_image(
    pair.target, name='other jug', translate=(0, pair.source.shape[1] + 30)
)

frame, transfer = viewer.window.add_plugin_dock_widget(
    'napari-samnet', 'Semantic transfer'
)
transfer.set_source('jug')
transfer.set_target('other jug')
transfer.set_labels('parts')
transfer.set_options(size=128, iterations=3)
transfer.run(wait=True)
viewer.reset_view()

if __name__ == '__main__':
    napari.run()
