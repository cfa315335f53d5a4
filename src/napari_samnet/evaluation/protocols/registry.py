"""What the benchmark command can run: protocols, and data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from napari_samnet.datasets import published as layouts
from napari_samnet.datasets.animal_pose import (
    animal_pose,
    animal_pose_left_out,
)
from napari_samnet.datasets.pair_lists import (
    KeypointPair,
    MaskPair,
    read_images,
    read_keypoint_pairs,
    read_mask_pairs,
)
from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import Protocol
from napari_samnet.evaluation.methods.estimates import with_estimates
from napari_samnet.evaluation.protocols.attributes import Attributes
from napari_samnet.evaluation.protocols.flow import Flow
from napari_samnet.evaluation.protocols.keypoints import Keypoints
from napari_samnet.evaluation.protocols.landmarks import Landmarks
from napari_samnet.evaluation.protocols.masks import Masks
from napari_samnet.evaluation.protocols.synthetic import (
    Photographs,
    Synthetic,
)

__all__ = ['PRESETS', 'PROTOCOLS', 'Preset', 'Request', 'open_protocol']


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be measured.

    Parameters
    ----------
    pairs : Path, optional
        List of pairs.
    root : Path
        Folder that the paths of the list start from.
    threshold_by : str, optional
        What PCK's tolerance is a share of.
    move : str
        Whose keypoints are moved.
    seed : int
        Of made-up pairs.
    estimates : Path, optional
        Folder of flows by another program.
    preset : Preset, optional
        Data set that `root` holds.
    """

    pairs: Path | None = None
    root: Path = Path()
    threshold_by: str | None = None
    move: str = 'source'
    seed: int = 0
    estimates: Path | None = None
    preset: Preset | None = None


@dataclass(frozen=True)
class Preset:
    """A published data set.

    Parameters
    ----------
    protocol : str
        How it is scored.
    keypoints, masks : callable, optional
        Finds its pairs below a folder.
    threshold_by : str
        Tolerance of its PCK.
    """

    protocol: str
    keypoints: Callable[[Path], list[KeypointPair]] | None = None
    masks: Callable[[Path], list[MaskPair]] | None = None
    threshold_by: str = 'kp-box'


PRESETS: dict[str, Preset] = {
    'pf-willow': Preset('keypoints', keypoints=layouts.pf_willow),
    'pf-pascal': Preset(
        'keypoints', keypoints=layouts.pf_pascal, threshold_by='image'
    ),
    'tss': Preset('flow'),
    'weizmann': Preset('masks', masks=layouts.weizmann),
    'photo-style': Preset('masks', masks=layouts.photo_style),
    'histology': Preset('landmarks', keypoints=layouts.histology),
    'davis': Preset('masks', masks=layouts.davis),
    'mouse': Preset('keypoints', keypoints=layouts.mouse),
    'animal-pose': Preset(
        'keypoints', keypoints=animal_pose, threshold_by='box'
    ),
    'animal-pose-left-out': Preset(
        'keypoints', keypoints=animal_pose_left_out, threshold_by='box'
    ),
}


def _need(request: Request, protocol: str) -> Path:
    if request.pairs is None:
        raise InputError(
            f'the protocol {protocol} needs a list of pairs: give --pairs '
            f'FILE and --root DIR, or the name of a data set instead of the '
            f'protocol ({", ".join(PRESETS)})'
        )
    return request.pairs


def _keypoint_pairs(request: Request, protocol: str) -> list[KeypointPair]:
    preset = request.preset
    if preset is not None and preset.keypoints and request.pairs is None:
        return preset.keypoints(request.root)
    return read_keypoint_pairs(_need(request, protocol), request.root)


def _keypoints(request: Request) -> Protocol:
    default = request.preset.threshold_by if request.preset else 'kp-box'
    return Keypoints(
        _keypoint_pairs(request, 'keypoints'),
        threshold_by=request.threshold_by or default,
        move=request.move,
    )


def _landmarks(request: Request) -> Protocol:
    return Landmarks(_keypoint_pairs(request, 'landmarks'))


def _masks(request: Request) -> Protocol:
    preset = request.preset
    if preset is not None and preset.masks and request.pairs is None:
        return Masks(preset.masks(request.root))
    return Masks(read_mask_pairs(_need(request, 'masks'), request.root))


def _flow(request: Request) -> Protocol:
    pairs = layouts.read_flow_pairs(request.root, request.pairs)
    if request.estimates is not None:
        pairs = with_estimates(pairs, request.estimates)
    return Flow(pairs)


def _photographs(request: Request) -> Photographs:
    if request.pairs is None:
        return Photographs()
    return Photographs(read_images(request.pairs, request.root))


def _synthetic(request: Request) -> Protocol:
    return Synthetic(_photographs(request), seed=request.seed)


def _attributes(request: Request) -> Protocol:
    return Attributes(_photographs(request), seed=request.seed)


PROTOCOLS: dict[str, Callable[[Request], Protocol]] = {
    'keypoints': _keypoints,
    'masks': _masks,
    'flow': _flow,
    'landmarks': _landmarks,
    'synthetic': _synthetic,
    'attributes': _attributes,
}


def open_protocol(
    name: str, request: Request, preset: str | None = None
) -> Protocol:
    """Protocol by its name or by the name of a data set.

    Parameters
    ----------
    name : str
        Key of `PROTOCOLS` or of `PRESETS`.
    request : Request
        Where the pairs are and how they are scored.
    preset : str, optional
        Key of `PRESETS`, when `name` is a protocol.

    Returns
    -------
    Protocol
        Ready to run.

    Raises
    ------
    InputError
        If there is no such protocol or data set, the two do not belong
        together, or the pairs cannot be read.
    """
    if name in PRESETS:
        name, preset = PRESETS[name].protocol, name
    if name not in PROTOCOLS:
        raise InputError(
            f'protocol must be one of {", ".join((*PROTOCOLS, *PRESETS))}, '
            f'got {name!r}'
        )
    if preset is None:
        return PROTOCOLS[name](request)
    if preset not in PRESETS:
        raise InputError(
            f'preset must be one of {", ".join(PRESETS)}, got {preset!r}'
        )
    if PRESETS[preset].protocol != name:
        raise InputError(
            f'the preset {preset} belongs to the protocol '
            f'{PRESETS[preset].protocol}, got {name}'
        )
    if not request.root.is_dir():
        raise InputError(f'there is no folder {request.root}')
    return PROTOCOLS[name](replace(request, preset=PRESETS[preset]))
