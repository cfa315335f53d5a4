"""Exponentials of many values."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def exp_(values: Tensor) -> Tensor:
    """Exponentials, in place.

    Torch takes up to twenty times as long on a processor where they come near
    the smallest numbers, as the weights of far neighbors do; numpy does not.
    """
    known = values.device.type == 'cpu' and values.dtype == torch.float32
    if not known or values.requires_grad:
        return values.exp_()
    array = values.numpy()
    np.exp(array, out=array)
    return values
