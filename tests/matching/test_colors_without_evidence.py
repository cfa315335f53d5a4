"""What a match does to colors where the target shows something else."""

from __future__ import annotations

import numpy as np
from skimage import data

from napari_samnet import match


def test_no_color_is_taken_from_something_else() -> None:
    source, target = data.coffee(), data.page()
    found = match(source, target)
    assert found.forward_cell_confidence.mean() < 0.25
    changed = np.abs(np.subtract(found.transferred, source, dtype=np.float32))
    assert changed.mean() < 3
