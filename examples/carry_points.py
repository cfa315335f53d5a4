"""Find clicked points again, and tell which to check.

A point goes to the target and back. The further from its start it ends, the
less it should be trusted.
"""

import numpy as np

from napari_samnet import match
from napari_samnet.datasets.samples import load_sample

pair = load_sample('cat')
result = match(pair.source, pair.target, attributes=False)

points = np.array([[114, 170], [136, 318], [240, 265], [20, 20]])
names = ['left pupil', 'right pupil', 'nose', 'upper left corner']
carried = result.warp_points(points)
back = result.warp_points(carried, to='source')

for name, place, start, end in zip(names, carried, points, back, strict=True):
    error = np.hypot(*(end - start))
    remark = 'check this one' if error > 10 else ''
    row, column = place
    print(f'{name:<18} {row:6.1f} {column:6.1f}  {error:5.1f} px {remark}')
