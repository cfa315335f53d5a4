"""What the benchmark command can run: protocols, and data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from napari_samnet.datasets import published_keypoints as keypoint_sets
from napari_samnet.datasets import published_masks as mask_sets
from napari_samnet.datasets.animal_pose import (
    animal_pose,
    animal_pose_kept_back,
    animal_pose_left_out,
)
from napari_samnet.datasets.composites import bundled_parts, horse_parts
from napari_samnet.datasets.pair_lists import (
    KeypointPair,
    MaskPair,
    read_images,
    read_keypoint_pairs,
    read_mask_pairs,
)
from napari_samnet.datasets.published_flow import read_flow_pairs
from napari_samnet.datasets.sequences import read_sequences
from napari_samnet.errors import InputError
from napari_samnet.evaluation.interfaces import Protocol
from napari_samnet.evaluation.methods.estimates import with_estimates
from napari_samnet.evaluation.protocols.attributes import Attributes
from napari_samnet.evaluation.protocols.corrections import Corrections
from napari_samnet.evaluation.protocols.flow import Flow
from napari_samnet.evaluation.protocols.instances import Instances
from napari_samnet.evaluation.protocols.keypoints import Keypoints
from napari_samnet.evaluation.protocols.landmarks import Landmarks
from napari_samnet.evaluation.protocols.masks import Masks
from napari_samnet.evaluation.protocols.objects import Objects
from napari_samnet.evaluation.protocols.orientation import Orientation
from napari_samnet.evaluation.protocols.presence import Presence
from napari_samnet.evaluation.protocols.series import Series
from napari_samnet.evaluation.protocols.stain import Sections, Stain
from napari_samnet.evaluation.protocols.synthetic import (
    Photographs,
    Synthetic,
)
from napari_samnet.evaluation.protocols.verdicts import Verdicts


@dataclass(frozen=True, kw_only=True)
class PairRequest:
    """Which pairs are measured, and how."""

    #: File with the list of pairs.
    pairs: Path | None = None
    #: Folder that the paths of the list start from.
    root: Path = Path()
    #: What PCK's tolerance is a share of.
    threshold_by: str | None = None
    #: Whose keypoints are moved.
    move: str = 'source'
    #: Another one draws other made-up pairs.
    seed: int = 0
    #: Annotated images that a method may use for each target.
    references: int = 1
    #: Orientations that targets are turned to.
    turns: str = 'all'
    #: Folder of flows by another program.
    estimates: Path | None = None
    #: Data set that `root` holds.
    preset: Preset | None = None


@dataclass(frozen=True)
class Preset:
    """A published data set."""

    #: Name of the protocol that scores it.
    protocol: str
    #: ``keypoints``, ``masks``: finds its pairs below a folder.
    keypoints: Callable[[Path], list[KeypointPair]] | None = None
    masks: Callable[[Path], list[MaskPair]] | None = None
    #: What the tolerance of its PCK is a share of.
    threshold_by: str = 'kp-box'


PRESETS: dict[str, Preset] = {
    'pf-willow': Preset('keypoints', keypoints=keypoint_sets.pf_willow),
    'pf-pascal': Preset(
        'keypoints',
        keypoints=keypoint_sets.pf_pascal,
        threshold_by='image',
    ),
    'tss': Preset('flow'),
    'weizmann': Preset('masks', masks=mask_sets.weizmann),
    'photo-style': Preset('masks', masks=mask_sets.photo_style),
    'histology': Preset('landmarks', keypoints=keypoint_sets.histology),
    'davis': Preset('masks', masks=mask_sets.davis),
    'mouse': Preset('keypoints', keypoints=keypoint_sets.mouse),
    'animal-pose': Preset(
        'keypoints', keypoints=animal_pose, threshold_by='box'
    ),
    'animal-pose-kept-back': Preset(
        'keypoints', keypoints=animal_pose_kept_back, threshold_by='box'
    ),
    'animal-pose-left-out': Preset(
        'keypoints', keypoints=animal_pose_left_out, threshold_by='box'
    ),
}


#: Data sets whose masks are measured together where none is named, as far as a
#: folder holds them.
MASKS_ON = ('weizmann', 'davis')


def _need(request: PairRequest, protocol: str) -> Path:
    if request.pairs is None:
        raise InputError(
            f'the protocol {protocol} needs a list of pairs: give --pairs '
            f'FILE and --root DIR, or the name of a data set instead of the '
            f'protocol ({", ".join(PRESETS)})'
        )
    return request.pairs


def _keypoint_pairs(request: PairRequest, protocol: str) -> list[KeypointPair]:
    preset = request.preset
    if preset is not None and preset.keypoints and request.pairs is None:
        return preset.keypoints(request.root)
    return read_keypoint_pairs(_need(request, protocol), request.root)


def _threshold_by(request: PairRequest) -> str:
    """What PCK's tolerance is a share of, if not told as usual for the set."""
    usual = request.preset.threshold_by if request.preset else 'kp-box'
    return request.threshold_by or usual


def _keypoints(request: PairRequest) -> Protocol:
    return Keypoints(
        _keypoint_pairs(request, 'keypoints'),
        threshold_by=_threshold_by(request),
        move=request.move,
    )


def _corrections(request: PairRequest) -> Protocol:
    return Corrections(
        _keypoint_pairs(request, 'corrections'),
        threshold_by=_threshold_by(request),
    )


def _mask_pairs(request: PairRequest, protocol: str) -> list[MaskPair]:
    preset = request.preset
    if preset is not None and preset.masks and request.pairs is None:
        return preset.masks(request.root)
    if preset is None and request.pairs is None:
        together = []
        for name in MASKS_ON:
            pairs_below = PRESETS[name].masks
            assert pairs_below is not None
            with suppress(InputError):
                together += pairs_below(request.root)
        if together:
            return together
    return read_mask_pairs(_need(request, protocol), request.root)


def _masks(request: PairRequest) -> Protocol:
    pairs = _mask_pairs(request, 'masks')
    return Masks(pairs, references=request.references)


def _objects(request: PairRequest) -> Protocol:
    given = request.root != Path()
    parts = horse_parts(request.root) if given else bundled_parts()
    return Objects(parts, seed=request.seed)


def _orientation(request: PairRequest) -> Protocol:
    kind = request.preset.protocol if request.preset else 'keypoints'
    return Orientation(PROTOCOLS[kind](request), turns=request.turns)


def _verdicts(request: PairRequest) -> Protocol:
    if request.preset is not None or request.pairs is not None:
        kind = request.preset.protocol if request.preset else 'masks'
        return Verdicts([PROTOCOLS[kind](request)])
    # What of the sets with masks and with keypoints lies below the folder.
    held = []
    for name in _VERDICTS_ON:
        preset = PRESETS[name]
        try:
            held.append(
                PROTOCOLS[preset.protocol](replace(request, preset=preset))
            )
        except InputError:
            continue
    if not held:
        raise InputError(
            f'{request.root} holds none of {", ".join(_VERDICTS_ON)}: give '
            f'--root DIR, or --pairs FILE with masks'
        )
    return Verdicts(held)


def _flow(request: PairRequest) -> Protocol:
    pairs = read_flow_pairs(request.root, request.pairs)
    if request.estimates is not None:
        pairs = with_estimates(pairs, request.estimates)
    return Flow(pairs)


def _photographs(request: PairRequest) -> Photographs:
    if request.pairs is None:
        return Photographs()
    return Photographs(read_images(request.pairs, request.root))


def _stain(request: PairRequest) -> Protocol:
    made = Sections() if request.pairs is None else _photographs(request)
    return Stain(made, seed=request.seed)


PROTOCOLS: dict[str, Callable[[PairRequest], Protocol]] = {
    'keypoints': _keypoints,
    'masks': _masks,
    'flow': _flow,
    'landmarks': lambda request: Landmarks(
        _keypoint_pairs(request, 'landmarks')
    ),
    'synthetic': lambda request: Synthetic(
        _photographs(request), seed=request.seed
    ),
    'attributes': lambda request: Attributes(
        _photographs(request), seed=request.seed
    ),
    'stain': _stain,
    'objects': _objects,
    'instances': lambda request: Instances(seed=request.seed),
    'series': lambda request: Series(read_sequences(request.root)),
    'presence': lambda request: Presence(_mask_pairs(request, 'presence')),
    'orientation': _orientation,
    'corrections': _corrections,
    'verdicts': _verdicts,
}

#: Data sets that verdicts are tried on, as far as a folder holds them.
_VERDICTS_ON = ('weizmann', 'davis', 'pf-willow', 'mouse')

#: Protocols that take the pairs of another one.
_TAKES = {
    'presence': ('masks',),
    'orientation': ('keypoints', 'landmarks', 'masks'),
    'corrections': ('keypoints',),
    'verdicts': ('keypoints', 'masks'),
}


def open_protocol(
    name: str, request: PairRequest, preset: str | None = None
) -> Protocol:
    """Protocol by its name or by the name of a data set.

    ``name``: key of `PROTOCOLS` or of `PRESETS`.
    ``request``: where the pairs are and how they are scored.
    Raises InputError if there is no such protocol or data set, the two do not
    belong together, or the pairs cannot be read.
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
    usual = PRESETS[preset].protocol
    if usual not in (name, *_TAKES.get(name, ())):
        raise InputError(
            f'the preset {preset} belongs to the protocol {usual}, got {name}'
        )
    if not request.root.is_dir():
        raise InputError(f'there is no folder {request.root}')
    return PROTOCOLS[name](replace(request, preset=PRESETS[preset]))
