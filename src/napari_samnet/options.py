"""The parameters of a match: one place for defaults, limits and their texts.

The command line's help, the widget's fields and tooltips, and the signature
of :func:`napari_samnet.match` are all read from :class:`MatchOptions`.
"""

from __future__ import annotations

import inspect
import os
import re
from dataclasses import dataclass, fields
from math import isfinite
from numbers import Real
from typing import Any, Literal, get_args

from napari_samnet.errors import InputError

Device = Literal['auto', 'cpu', 'cuda', 'mps']
Precision = Literal['auto', 'fp32', 'bf16', 'int8']
Backend = Literal['auto', 'torch', 'openvino']
Initialization = Literal['global', 'identity']
Feedback = Literal['feature', 'continue', 'image']
Confidence = Literal['calibrated', 'paper']

#: Inclusive limits of the numbers, for widgets and checks alike.
LIMITS: dict[str, tuple[float, float]] = {
    'window': (3, 21),
    'iterations': (1, 20),
    'motions': (1, 8),
    'alikeness': (0.0, 2.0),
    'coarse_iterations': (0, 5),
    'size': (64, 1024),
    'lambda_max': (0.0, 1.0),
    'skip': (0.0, 1.0),
    'tolerance': (0.0, 8.0),
}

#: Working sizes must be a multiple of the coarsest feature stride.
SIZE_STEP = 32

CHOICES: dict[str, tuple[str, ...]] = {
    'device': get_args(Device),
    'precision': get_args(Precision),
    'backend': get_args(Backend),
    'init': get_args(Initialization),
    'feedback': get_args(Feedback),
    'confidence': get_args(Confidence),
}

#: Ours left out, as in the paper: ``match(source, target, **PAPER)``.
PAPER: dict[str, Any] = {
    'weights': 'paper',
    'init': 'identity',
    'feedback': 'image',
    'lambda_max': 1.0,
    'orientation': 'upright',
    'fine': False,
    'confidence': 'paper',
    'candidates': False,
    'evidence': False,
    'outlines': False,
    'tolerance': 0.0,
}

#: Parameters for scripts and measurements alone: no widget shows them.
HIDDEN = ('reference',)


@dataclass(frozen=True, kw_only=True)
class MatchOptions:
    """How a pair of images is matched.

    Parameters
    ----------
    window : int
        Side of the search window, in feature cells of 8 pixels at working
        size. Odd, 3 to 21. The paper's 9 looks 4 cells to each side, per
        iteration; a larger one finds what lies farther away, and takes
        longer. Where a small `size` has fewer than 9 cells a side, 9 becomes
        the largest window that fits.
    iterations : int
        Largest number of matching iterations, 1 to 20. The run stops earlier
        once the field no longer moves.
    size : int
        How much detail the network sees: the working size. Both images are
        resized to this many pixels on each side, a multiple of 32 from 64 to
        1024; more finds finer things and takes longer. Results always come
        back at the images' own size.
    device : {'auto', 'cpu', 'cuda', 'mps'}
        Where the network runs. 'auto' takes CUDA, then Apple's MPS, then the
        CPU.
    precision : {'auto', 'fp32', 'bf16', 'int8'}
        Arithmetic of the convolutions. 'int8' is by far the fastest on most
        processors and needs OpenVINO. 'auto' takes it where it is there and
        was measured to change the results of these weights very little, else
        bf16 where that is faster, else fp32.
    backend : {'auto', 'torch', 'openvino'}
        What computes the convolutions. 'openvino' needs the extra of that
        name and runs on the CPU. 'auto' takes torch, and OpenVINO for
        'int8'.
    weights : str
        Name of a packaged network or the path of a weights file.
    attributes : bool
        Transfer the target's attributes to the source, and match with the
        transferred image. Without it the run takes less time and gives the
        correspondence alone.
    evidence : bool
        Ask all cells of the source which label fits a place of the target,
        beside the one that the field leads to. Finds what moves, turns or is
        there several times. Without it, labels go exactly where the field
        leads: right for borders that nothing in the image marks, such as the
        midline between two like halves.
    outlines : bool
        Move the outlines of carried labels to the edges that the target
        shows nearby, as sharp as the image is. Without it, outlines are as
        smooth as the cells are wide: right where the edges of the image are
        not those of the labels, as with regions of an atlas.
    init : {'global', 'identity'}
        First field: a robust global affine from all pairs of cells, or no
        motion, as in the paper.
    motions : int
        How many affine motions are looked for with `init` 'global', 1 to 8.
        With 2 or more, each part of the image starts from the one that most
        of the matches around it agree with, or from these matches
        themselves, so that what moves against its background is followed.
        1 starts everywhere from the same one, which is right where one
        object or specimen fills both images.
    alikeness : float
        How alike the features of neighbors must be to be moved together: the
        difference of their cosines to 1 at which a neighbor counts 37 %, 0
        to 2. Smaller values keep outlines apart better and smooth less. 0
        takes all neighbors around alike, as in a round window, and `motions`
        does not count. So it is with `init` 'identity'. What a network has
        learned on top is added in the windows that it was learned in: those
        of alike neighbors with the packaged network.
    orientation : str or float
        How the target is turned before it is matched. 'auto' tries
        reflections and turns, and takes another than upright only where the
        images clearly show one specimen, or two things of one kind that face
        away from each other. 'upright' leaves it as it is; else degrees
        against the clock, 'mirror', or both, such as '90 mirror': first left
        and right are exchanged, then it is turned. The result always refers
        to the target as it came.
    fine : bool
        Refine the field by the pixels of both images where they clearly show
        the same scene or specimen: to about half a pixel at working size
        instead of two or three. Elsewhere nothing changes. Without it, the
        field is as smooth as the cells of the network are wide.
    confidence : {'calibrated', 'paper'}
        What the confidence of a match says. 'calibrated' is how often such
        matches were right on training images: of points with .8, four of
        five lie within a tenth of the object's size of where they belong.
        'paper' is equation (9), lowered where both directions disagree: how
        well the field fits its surroundings, which is high in a wrong place
        too. It is taken where nothing was fitted: for features of your own,
        other layers, `alikeness` 0 and `init` 'identity'.
    candidates : bool
        Where a match is doubtful, take the most similar place instead if the
        calibrated confidence says that it is likelier, and move every match
        to the likely places next to it, unless pixels confirm the field.
        Helps where poses differ, and makes the field less smooth there.
    coarse_iterations : int
        How many of the first iterations run on a map of half the resolution,
        which doubles their reach. 0 to 5.
    feedback : {'feature', 'continue', 'image'}
        Where the feature of the transferred image comes from: blended from
        those of both images, blended in the deepest layer and carried on
        through the network, or, as in the paper and at many times the cost,
        encoded again from the decoded image.
    lambda_max : float
        Largest weight of the transferred feature in the matching, between
        0 (only the source's own feature) and 1 (the paper's schedule).
    skip : float
        Share of the source's own features in each decoder level, between 0
        and 1, in the image that is matched again.
        The one that is shown has the target's attributes alone, and its
        structure from the source itself.
    tolerance : float
        The run has converged when the field changes by less than this many
        pixels at working size on average between two iterations. Smaller
        values take more iterations, which on keypoints and known motions of
        training images made nothing better. 0 never stops early.
    reference : bool
        Compute everything literally, as an oracle of the fast ways: single
        precision, plain kernels, both terms of equation (5), every image
        decoded and encoded again, each direction on its own and no early
        stop. More than ten times slower. The transferred image is then the
        one that the decoder paints. Sets `precision`, `backend`, `feedback`,
        `fine`, `candidates` and `tolerance`.

    Notes
    -----
    In the paper `window` is P, `iterations` is L and `skip` is b_h of
    equation (10); the deepest layer of `feedback` is relu4_1.
    """

    window: int = 9
    iterations: int = 10
    size: int = 256
    device: str = 'auto'
    precision: str = 'auto'
    backend: str = 'auto'
    weights: str = 'samnet'
    attributes: bool = True
    evidence: bool = True
    outlines: bool = True
    init: str = 'global'
    motions: int = 4
    alikeness: float = 0.3
    orientation: str = 'auto'
    fine: bool = True
    confidence: str = 'calibrated'
    candidates: bool = True
    coarse_iterations: int = 0
    feedback: str = 'feature'
    lambda_max: float = 0.1
    skip: float = 0.5
    tolerance: float = 2.0
    reference: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            # Numbers of numpy are as good as Python's.
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number:
                raise InputError(
                    f'{name} must be a number from {low:g} to {high:g}, '
                    f'got {value!r}'
                )
            if not low <= value <= high:
                raise InputError(
                    f'{name} must be from {low:g} to {high:g}, got {value}'
                )
            kind = type(getattr(MatchOptions, name))
            if kind(value) != value:
                raise InputError(f'{name} must be whole, got {value}')
            object.__setattr__(self, name, kind(value))
        for option in fields(self):
            value = getattr(self, option.name)
            if option.type == 'bool' and not isinstance(value, bool):
                raise InputError(
                    f'{option.name} must be True or False, got {value!r}'
                )
        try:
            object.__setattr__(self, 'weights', os.fsdecode(self.weights))
        except TypeError:
            raise InputError(
                f'weights must be a name or a path, got {self.weights!r}'
            ) from None
        self._settle_orientation()
        if self.window % 2 == 0:
            raise InputError(
                f'window must be odd to have a center, got {self.window}'
            )
        if self.size % SIZE_STEP:
            raise InputError(
                f'size must be a multiple of {SIZE_STEP}, got {self.size}'
            )
        for name, allowed in CHOICES.items():
            value = str(getattr(self, name))
            # 'cuda:1' names one card of several.
            stem = value.split(':')[0] if name == 'device' else value
            if stem not in allowed:
                raise InputError(
                    f'{name} must be one of {", ".join(allowed)}, '
                    f'got {value!r}'
                )
            object.__setattr__(self, name, value)
        cells = self.size // 8 // (2 if self.coarse_iterations else 1)
        if cells < self.window == MatchOptions.window:
            # Nobody chose it, so that a small size alone is no mistake.
            object.__setattr__(self, 'window', cells - (cells % 2 == 0))
        if self.window > cells:
            raise InputError(
                f'window must not be larger than the feature map, which is '
                f'{cells}x{cells} cells at size {self.size}, got '
                f'{self.window}: choose a smaller window or a larger size'
            )
        if self.reference:
            self._set_reference()
        if self.precision == 'int8' and self.backend == 'torch':
            raise InputError(
                "precision 'int8' needs the backend 'openvino' or 'auto', "
                "got 'torch'"
            )

    def _settle_orientation(self) -> None:
        """Write the orientation in one way only."""
        given = parse_orientation(self.orientation)
        if given is None:
            text = 'auto'
        else:
            degrees, mirror = given
            words = [f'{degrees:g}'] if degrees else []
            text = ' '.join([*words, *(['mirror'] if mirror else [])])
        object.__setattr__(self, 'orientation', text or 'upright')

    def _set_reference(self) -> None:
        """Set what the reference fixes, so that records tell the truth."""
        fixed: dict[str, Any] = {'precision': 'fp32', 'backend': 'torch'}
        for name, value in fixed.items():
            given = getattr(self, name)
            if given not in ('auto', value):
                raise InputError(
                    f'the reference has {name} {value!r}, got {given!r}'
                )
        # What follows the network is no part of the reference.
        fixed |= {'feedback': 'image', 'tolerance': 0.0}
        fixed |= {'fine': False, 'candidates': False}
        for name, value in fixed.items():
            object.__setattr__(self, name, value)


def parse_orientation(value: object) -> tuple[float, bool] | None:
    """Read an orientation.

    Parameters
    ----------
    value : object
        'auto', 'upright', degrees as a number or text, 'mirror', or degrees
        and 'mirror' in either order.

    Returns
    -------
    tuple of float and bool, or None
        Degrees against the clock, in [0, 360), and whether left and right
        are exchanged before that. None for 'auto'.

    Raises
    ------
    InputError
        If it is none of these.
    """
    words = str(value).lower().replace('°', ' ').replace(',', ' ').split()
    if words == ['auto']:
        return None
    rest = [word for word in words if word not in ('mirror', 'upright')]
    try:
        degrees = float(rest[0]) if rest else 0.0
    except ValueError:
        degrees = float('nan')
    fits = len(rest) <= 1 and len(set(words)) == len(words) > 0
    if isinstance(value, bool) or not fits or not isfinite(degrees):
        raise InputError(
            f'orientation must be auto, upright, degrees such as 90, mirror, '
            f"or both such as '90 mirror', got {value!r}"
        )
    return degrees % 360, 'mirror' in words


#: The default of every parameter.
DEFAULTS = MatchOptions()


def parameter_text(name: str, cls: type[Any] = MatchOptions) -> str:
    """Text of one parameter, read from a class's numpydoc docstring.

    Parameters
    ----------
    name : str
        Name of the parameter.
    cls : type
        Class whose docstring describes it.

    Returns
    -------
    str
        The description on one line.

    Raises
    ------
    KeyError
        If the docstring does not describe `name`.
    """
    pattern = rf'^{re.escape(name)} : [^\n]*\n((?:^ {{4,}}\S[^\n]*\n)+)'
    # Python 3.13 takes the indentation away itself.
    text = inspect.cleandoc(cls.__doc__ or '') + '\n'
    entry = re.search(pattern, text, re.MULTILINE)
    if entry is None:
        raise KeyError(f'{cls.__name__} does not describe {name!r}')
    return ' '.join(entry.group(1).split())


def option_names() -> tuple[str, ...]:
    """Names of all parameters, in the order of the docstring."""
    return tuple(field.name for field in fields(MatchOptions))


def visible_options() -> tuple[str, ...]:
    """Names of the parameters that widgets show."""
    return tuple(name for name in option_names() if name not in HIDDEN)


def visible_defaults() -> dict[str, Any]:
    """The default of every parameter that widgets show, by name."""
    return {name: getattr(DEFAULTS, name) for name in visible_options()}
