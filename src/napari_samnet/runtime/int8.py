"""What int8 needs to know of a network: limits found on training images.

They are kept in a small JSON file beside the weights,
``NAME.int8.json``, which :mod:`napari_samnet.training.calibration` writes. It
names the tensors that it was made for, so that other weights with the same
feature network or the same decoder may use it too, and the deviation from
fp32 that was measured with it, which decides whether ``precision='auto'`` may
take int8.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samnet.errors import DeviceError, WeightsError, in_one_line
from napari_samnet.runtime.weights import PACKAGED_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from napari_samnet.runtime.weights import Weights
    from napari_samnet.samnet.network import SAMNet

#: What int8 may change for ``precision='auto'`` to take it, measured at
#: calibration on held-out training images that were warped in a known way:
#: mean change of the field and of its error in pixels at working size, and
#: PSNR of the transferred image in dB.
BOUNDS = {'mean_px': 0.5, 'epe_change_px': 0.1, 'psnr_db': 35.0}


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Limits of one network."""

    #: SHA-256 of the weights file that the deviation was measured with.
    weights: str
    #: How many training images the limits were found on.
    images: int
    #: Of the tensors of 'features' and 'decoder', see :func:`digest_of`.
    digests: dict[str, str]
    #: Per part, the largest input of each convolution that is quantized.
    limits: dict[str, dict[str, float]]
    #: From fp32, with the keys of :data:`BOUNDS` and others.
    deviation: dict[str, float]

    def to_json(self) -> str:
        """Text of the file."""
        return json.dumps(asdict(self), indent=1) + '\n'


def calibration_path(weights: Weights) -> Path:
    """Where the calibration of a weights file is looked for."""
    return weights.path.with_suffix('.int8.json')


def read_calibration(path: Path) -> Calibration | None:
    """Read a calibration, if the file is there.

    Returns: None if the file is not there. Raises WeightsError if it cannot be
    used.
    """
    if not path.is_file():
        return None
    try:
        values: Any = json.loads(path.read_text(encoding='utf-8'))
        calibration = Calibration(**values)
        limits = {
            part: {name: float(limit) for name, limit in each.items()}
            for part, each in calibration.limits.items()
        }
        dict(calibration.digests), dict(calibration.deviation)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(
            f'{path.name} is no int8 calibration: {in_one_line(error)}'
        ) from error
    if not all(
        0 < limit < float('inf')
        for each in limits.values()
        for limit in each.values()
    ):
        raise WeightsError(f'{path.name} has limits that are not positive')
    return calibration


def digest_of(part: nn.Module) -> str:
    """Hash of a module's parameters in half precision, as files hold them."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in part.named_parameters():
        digest.update(name.encode())
        digest.update(value.detach().cpu().half().contiguous().numpy().data)
    return digest.hexdigest()


def _known(weights: Weights) -> Iterator[Calibration]:
    """Calibrations that may be of these weights: their own, then ours."""
    beside = calibration_path(weights)
    shipped = sorted(PACKAGED_FOLDER.glob('*.int8.json'))
    for path in dict.fromkeys([beside, *shipped]):
        calibration = read_calibration(path)
        if calibration is not None:
            yield calibration


def calibrated_parts(model: SAMNet) -> dict[str, nn.Module]:
    """Parts of a network whose convolutions int8 is for, by their names."""
    return {'features': model.features.convolutions, 'decoder': model.decoder}


def find_limits(
    weights: Weights, model: SAMNet
) -> dict[str, dict[str, float]]:
    """Limits of each part that some calibration was made for.

    Raises DeviceError if there are none for the features, which int8 is mostly
    for.
    """
    digests = {
        name: digest_of(part) for name, part in calibrated_parts(model).items()
    }
    limits: dict[str, dict[str, float]] = {}
    for calibration in _known(weights):
        for name, digest in digests.items():
            if calibration.digests.get(name) == digest:
                limits.setdefault(name, calibration.limits[name])
    if 'features' not in limits:
        raise DeviceError(
            f"precision 'int8' needs a calibration of the weights "
            f"{weights.name!r}: run 'python -m "
            f'napari_samnet.training.calibration IMAGES --weights '
            f"{weights.path}', or choose 'auto'"
        )
    return limits


def within_bounds(weights: Weights) -> bool:
    """Whether int8 was shown to deviate little with exactly these weights."""
    calibration = read_calibration(calibration_path(weights))
    if calibration is None or calibration.weights != weights.sha256:
        return False
    seen = calibration.deviation
    return (
        seen.get('mean_px', float('inf')) <= BOUNDS['mean_px']
        and seen.get('epe_change_px', float('inf')) <= BOUNDS['epe_change_px']
        and seen.get('psnr_db', 0.0) >= BOUNDS['psnr_db']
    )
