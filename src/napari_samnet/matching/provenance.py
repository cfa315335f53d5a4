"""What a result must say so that it can be made again.

Options and weights say what was computed; the rest says of what and by what:
the same numbers come out bit for bit only from the same images, with the same
versions of the libraries, on the same kind of processor, with the same number
of threads.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.runtime.versions import installed_versions

#: Packages that compute.
_PACKAGES = ('napari-samnet', 'torch', 'numpy', 'scipy', 'openvino')


def provenance(
    device: str,
    small: Sequence[npt.NDArray[np.float32]],
    axes: Mapping[str, int | None],
) -> dict[str, Any]:
    """Describe what a match was made of, and by what.

    ``small`` (size, size, 3): the images as the network sees them.
    ``axes``: name of each image, and the axis of its channels.
    Returns: entries of the metadata, plain values that JSON can hold: versions
    of packages; Python, processor, threads and the name of a GPU; and for each
    image the hash of its content at working size.
    """
    return {
        'versions': dict(_versions()),
        'environment': _environment(device),
        'images': {
            name: {'digest': _digest(pixels), 'channel_axis': axis}
            for (name, axis), pixels in zip(axes.items(), small, strict=True)
        },
    }


def _digest(small: npt.NDArray[np.float32]) -> str:
    content = np.ascontiguousarray(small, '<f4')
    return hashlib.blake2b(content.data, digest_size=16).hexdigest()


def _environment(device: str) -> dict[str, Any]:
    import torch

    facts: dict[str, Any] = {
        'python': platform.python_version(),
        'machine': f'{platform.system()} {platform.machine()}',
        'cpu': torch.backends.cpu.get_cpu_capability(),
        'threads': torch.get_num_threads(),
    }
    if device.startswith('cuda'):
        facts['gpu'] = torch.cuda.get_device_name(torch.device(device))
    return facts


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return installed_versions(_PACKAGES)
