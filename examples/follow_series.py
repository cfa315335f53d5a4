"""Carry labels through a series without napari.

One section of a brain is outlined. All others ask it and the results on the
way, and each says how it went.
"""

from skimage.io import imsave

from napari_samnet import propagate
from napari_samnet.datasets.real_pairs import brain_series

sections, labels, names = brain_series()
series = propagate(sections, labels)
for number, report in enumerate(series.reports):
    shown = [
        name
        for value, name in enumerate(names, start=1)
        if (series.labels[number] == value).any()
    ]
    print(f'section {number}: {report.state}, {", ".join(shown)}')

imsave('brain-labels.tif', series.labels, check_contrast=False)
