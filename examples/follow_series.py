"""Carry labels through a series, plane by plane, without napari.

Each plane is matched with the next. Where the way there and back does not
close, the chain ends rather than go on with guesses.
"""

from itertools import pairwise

import numpy as np

from napari_samnet import match
from napari_samnet.datasets.samples import load_sample

pair = load_sample('tissue')
views = [np.s_[12 * k : 400 + 12 * k, 16 * k : 400 + 16 * k] for k in range(4)]
planes = [pair.source[view] for view in views]
truth = [pair.labels[view] for view in views]

carried = [truth[0]]
for number, (before, after) in enumerate(pairwise(planes), start=1):
    step = match(before, after, attributes=False)
    error = step.mean_consistency()
    if error > 0.03 * 400:
        print(f'plane {number}: given up, round trip {error:.1f} px')
        break
    carried.append(step.warp_labels(carried[-1]))
    agree = (carried[-1] == truth[number]).mean()
    print(f'plane {number}: round trip {error:.1f} px, {agree:.1%} agree')
