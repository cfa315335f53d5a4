"""Types of arrays that many modules take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

#: One id for each pixel, of any integer type.
Labels = npt.NDArray[Any]

#: Rows and columns.
Shape = tuple[int, int]
