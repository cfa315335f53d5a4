"""Watch a match converge, and stop when it is good enough.

A match is a generator of steps. Each step can be looked at, and closing the
generator stops the run.
"""

import numpy as np

from napari_samnet import MatchOptions, match_steps
from napari_samnet.datasets.samples import load_sample

pair = load_sample('cat')
known = np.isfinite(pair.flow).all(axis=-1) & (pair.labels > 0)

steps = match_steps(
    pair.source,
    pair.target,
    MatchOptions(init='identity', attributes=False),
)
for step in steps:
    if step.snapshot is None:
        print(step.text)
        continue
    error = np.hypot(*(step.snapshot().flow - pair.flow)[known].T).mean()
    print(f'{step.text}: moved {step.change:.1f} px, error {error:.1f} px')
    if step.change < 1:
        steps.close()
