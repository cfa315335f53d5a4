"""Carry a mask to another image.

Annotated is one image; wanted is the annotation of another that shows
something alike. Here somebody outlined both, so the overlap is printed.
"""

from skimage.io import imsave

from napari_samnet import match
from napari_samnet.datasets.samples import load_sample

pair = load_sample('kidney')
result = match(pair.source, pair.target, labels=pair.labels, attributes=False)
carried = result.warped_labels

for value, name in enumerate(pair.label_names, start=1):
    ours, truth = carried == value, pair.target_labels == value
    overlap = (ours & truth).sum() / (ours | truth).sum()
    print(f'{name:<8} overlap {overlap:.2f}')

imsave('carried.tif', carried, check_contrast=False)
