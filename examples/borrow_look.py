"""Show an object in the colors of another.

The transferred image is laid over the source within the object alone, with a
soft border.
"""

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.io import imsave

from napari_samnet import match
from napari_samnet.datasets.samples import load_sample

pair = load_sample('jug')
result = match(pair.source, pair.target)

share = gaussian_filter((pair.labels > 0).astype(float), 3)[..., None]
mixed = share * result.transferred + (1 - share) * pair.source
imsave('yellow-jug.png', mixed.round().astype(np.uint8))
