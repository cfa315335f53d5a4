"""Whether int8 can be trusted on this computer.

Limits of int8 are found elsewhere, and the code that multiplies whole numbers
differs between processors. So it is refused where it is known to be wrong or
slow, and compared with fp32 once on every other computer before it is used.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samnet.errors import DeviceError, InputError
from napari_samnet.files import user_folder, write_text
from napari_samnet.runtime.int8 import find_limits
from napari_samnet.runtime.versions import installed_versions
from napari_samnet.runtime.weights import read_model

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samnet.runtime.weights import Weights

#: Mean cosine between the features of int8 and fp32 that is right. Rounding
#: alone leaves .99; results at chance are below .5.
LEAST_AGREEMENT = 0.9

#: Side of the picture that is looked at, in pixels.
SIDE = 128


def int8_fault() -> str:
    """Why int8 is known to be wrong or slow here.

    Returns: the reason; '' where nothing is known against it.
    """
    machine = platform.machine().lower()
    arm = machine.startswith(('arm', 'aarch'))
    if sys.platform == 'darwin':
        return 'on macOS its results are random (openvino issue 34673)'
    if arm:
        return (
            'on ARM its results are random (openvino issue 34673) and its '
            'convolutions slower than fp32 (ComputeLibrary issue 1225)'
        )
    return ''


def int8_is_right(weights: Weights) -> bool:
    """Compare int8 with fp32, once on each computer.

    The result is kept in the user's folder, for these weights, this version
    of OpenVINO and this processor; in memory alone where nothing may be
    written.

    Returns: False if the features differ, so that int8 must not be used.
    """
    return _checked(str(weights.path), weights.sha256) >= LEAST_AGREEMENT


@lru_cache(maxsize=8)
def _checked(path: str, digest: str) -> float:
    file = user_folder('int8') / f'{_key(digest)}.json'
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(file.read_text(encoding='utf-8'))
        return float(kept['agreement'])
    from napari_samnet.runtime.weights import Weights

    agreement = int8_agreement(Weights(Path(path).stem, Path(path), digest))
    with suppress(OSError, InputError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps({'agreement': agreement}) + '\n')
    return agreement


def int8_agreement(weights: Weights) -> float:
    """Mean cosine between the features of int8 and of fp32.

    Returns: 1 where they are the same, about 0 where they have nothing in
    common; 0 if int8 cannot be computed at all.
    """
    import torch

    from napari_samnet.runtime.openvino_modules import use_openvino

    model = read_model(weights.path).eval()
    image = _picture()
    with torch.inference_mode():
        exact = model.features.match_only(image)
        try:
            use_openvino(model, 'int8', **find_limits(weights, model))
            rough = model.features.match_only(image)
        except DeviceError:
            raise
        except RuntimeError:
            # What OpenVINO raises for operations that it does not have.
            return 0.0
        cosine = torch.nn.functional.cosine_similarity(exact, rough, dim=1)
    return float(torch.nan_to_num(cosine).mean())


def _picture() -> Tensor:
    """Colored shapes on a slope, the same on every computer."""
    import torch

    line = torch.linspace(0, 1, SIDE)
    down, across = torch.meshgrid(line, line, indexing='ij')
    picture = torch.stack([across, down, 0.5 * (across + down)])
    disk = (down - 0.35) ** 2 + (across - 0.4) ** 2 < 0.05
    picture[:, disk] = torch.tensor([0.8, 0.2, 0.1])[:, None]
    stripes = (torch.sin(40 * (across + 0.5 * down)) > 0) & (down > 0.6)
    picture[:, stripes] = 1 - picture[:, stripes]
    return picture[None]


def _key(digest: str) -> str:
    """Name for weights, OpenVINO and processor together."""
    library = installed_versions(['openvino']).get('openvino', '')
    about = (digest, library, platform.machine(), _processor_name())
    return hashlib.sha256('|'.join(about).encode()).hexdigest()[:32]


def _processor_name() -> str:
    with suppress(OSError, UnicodeDecodeError):
        for line in Path('/proc/cpuinfo').read_text('utf-8').splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor()
