"""Which orientation of the target stands like the source.

It is decided by evidence: cells of both images that are each other's best
match and agree with one affine map. Sections of one specimen have plenty of
them, and in the right orientation far more than in any other. Two photographs
of one kind of thing have few, whatever the orientation; those are left
upright, unless they agree twice as much where one is mirrored, as two birds
do that face away from each other. This is not part of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.types import FloatArray, Shape
from napari_samnet.matching.agreement import agreement
from napari_samnet.matching.orientation import (
    Frame,
    Orientation,
    shrunk,
    views,
)
from napari_samnet.options import parse_orientation

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samnet.samnet.network import SAMNet

Array = NDArray[np.float64]

#: Sides in pixels at which all orientations are tried, those that are left,
#: and the last two.
SIDES = (128, 192, 256)

#: At the first side: share of the cells that agree from which the images may
#: show one specimen at all, and from which upright is taken without another
#: look.
SAME, CLEAR = 0.07, 0.85

#: At the first side: share from which upright is taken without another look
#: where no other view has more than RIVAL of it.
UNRIVALED = 0.15

#: At the first side: share from which the images clearly show one specimen.
SPECIMEN = 0.25

#: Angles between quarter turns are tried, in steps of so many degrees, where
#: a turned rival has more than this share of the best one's agreement.
STEP, RIVAL = 30.0, 0.5

#: Corners, in sides of the image, that are plain where an image has been
#: turned before and so lies slanted on a larger canvas, and the largest
#: deviation of brightness there.
CORNER, PLAIN = 0.2, 0.04

#: At the second side: least agreement of an orientation that is not upright,
#: and how many times that of upright it must be. One of the rows will do; the
#: second is for turns, the third for mirror images that are not turned, as of
#: a car or a bird that faces the other way. Of 236 pairs of training animals
#: that face the same way the third row takes none for mirrored, of 89 that
#: face away from each other nine.
ENOUGH = ((0.15, 1.25), (0.06, 3.0), (0.06, 2.0))

#: At the third side: how many times that of upright it must be if the first
#: row was met, and if it was not.
STILL = 1.25, 1.5

#: Sections of one specimen may agree faintly if the stains differ, but do so
#: at every size and in one orientation alone: what a turned one needs at the
#: second side, if no row was met, and at the third, where every other
#: orientation counts.
FAINT, ALONE = (0.035, 1.5), (0.04, 4.0)

#: How many orientations are looked at again at the second side.
FINALISTS = 4


class Choice(NamedTuple):
    """The orientation that was taken."""

    #: How the target is seen.
    frame: Frame
    #: Lead in agreement over the best other orientation, as a share: 1 if that
    #: has none, 0 if both have as much, negative if the other has more but not
    #: enough to turn for. None where nothing was tried.
    margin: float | None
    #: Whether the two images clearly show one scene or specimen, in this
    #: orientation.
    specimen: bool

    def as_record(self) -> dict[str, Any]:
        """For the metadata of a result."""
        taken = self.frame.orientation
        return {
            'degrees': taken.degrees,
            'mirror': taken.mirror,
            'margin': None if self.margin is None else round(self.margin, 3),
            'text': taken.text(),
        }


class _Trial(NamedTuple):
    """Agreement in one view, and the affine map on which it rests."""

    frame: Frame
    agreement: float
    affine: Array


def choose(
    model: SAMNet,
    small: Sequence[FloatArray],
    shape: Shape,
    option: str,
    device: str,
) -> Choice:
    """Choose the orientation in which the target is compared.

    ``model``: whose light features tell; those of the whole network if it has
    none.
    ``small``: source and target at working size, float32 ``(n, n, 3)``.
    ``device``: where the model is.
    Returns: the orientation of `option`, or by evidence where that is 'auto'.
    """
    import torch

    source, target = (
        torch.from_numpy(image).permute(2, 0, 1)[None] for image in small
    )
    given = parse_orientation(option)
    with torch.inference_mode():
        if given is not None:
            frame = Frame(Orientation(*given), shape)
            trial, *_ = _tried(
                model, (source, target), [frame], SIDES[0], device
            )
            return _chosen(trial, None)
        return _search(model, source, target, shape, device)


def _search(
    model: SAMNet,
    source: Tensor,
    target: Tensor,
    shape: Shape,
    device: str,
) -> Choice:
    """The orientation with the most evidence, upright in doubt."""

    def trials(which: Sequence[Frame], side: int) -> list[_Trial]:
        return _tried(model, (source, target), which, side, device)

    def frames(*degrees: float) -> list[Frame]:
        return [
            Frame(Orientation(angle, mirror), shape)
            for mirror in (False, True)
            for angle in degrees
        ]

    first = trials(frames(0, 90, 180, 270), SIDES[0])
    upright = first[0]
    best = max(first, key=_by_agreement)
    slanted = _has_plain_corners(target)
    doubtful = best.agreement < SAME and not slanted
    unrivaled = (
        not slanted
        and upright.agreement >= UNRIVALED
        and all(
            trial.agreement <= RIVAL * upright.agreement
            for trial in first
            if trial is not upright
        )
    )
    if doubtful or unrivaled or upright.agreement >= CLEAR:
        return _chosen(upright, _lead(upright, first))
    if _turned_rival(best, first) > RIVAL * best.agreement:
        between = frames(*(a for a in np.arange(0, 360, STEP) if a % 90))
        if slanted:
            between = [_within_canvas(frame) for frame in between]
        first += trials(between, SIDES[0])
        if max(trial.agreement for trial in first) < SAME:
            return _chosen(upright, _lead(upright, first))
    first.sort(key=_by_agreement, reverse=True)
    again = [trial.frame for trial in first[:FINALISTS]]
    if upright.frame not in again:
        again.append(upright.frame)
    last = trials(again, SIDES[1])
    # Where the fitted map still holds a rotation, the view is turned by it.
    better = dict.fromkeys(_followed(trial) for trial in last)
    if further := [view for view in better if view not in again]:
        last += trials(further, SIDES[1])
    second = next(t for t in last if t.frame == upright.frame)
    best = max(last, key=_by_agreement)
    clear, enough = _is_clear(best, second), _is_enough(best, second)
    faint = _is_turned(best.frame) and _leads(best, second, *FAINT)
    if not enough and not faint:
        return _chosen(upright, _lead(second, last))
    rivals = [
        trial
        for trial in last
        if _apart(trial.frame.orientation, best.frame.orientation)
    ]
    rival = max(rivals, key=_by_agreement)
    once = dict.fromkeys((best.frame, rival.frame, upright.frame))
    last = trials(list(once), SIDES[2])
    # A likeness by chance shows at one size only; this is another.
    third = next(t for t in last if t.frame == upright.frame)
    best = max(last, key=_by_agreement)
    others = [trial for trial in last if trial.frame != best.frame]
    holds = (
        best.agreement >= STILL[not clear] * third.agreement
        if enough
        else all(_leads(best, other, *ALONE) for other in others)
    )
    if best.frame == upright.frame or not holds:
        return _chosen(upright, _lead(third, last))
    # Two things of one kind that face away from each other are no specimen.
    specimen = clear or _is_turned(best.frame)
    return Choice(best.frame, _lead(best, last), specimen=specimen)


def _chosen(trial: _Trial, margin: float | None) -> Choice:
    """A view of the first side as the choice."""
    specimen = trial.agreement >= SPECIMEN
    return Choice(trial.frame, margin, specimen)


def _has_plain_corners(image: Tensor) -> bool:
    """Whether nothing is seen in any corner of ``(1, 3, n, n)``."""
    import torch

    small = shrunk(image, SIDES[0])[0].mean(0)
    reach = int(CORNER * SIDES[0])
    steps = torch.arange(reach)
    triangle = steps[:, None] + steps < reach
    # Each corner in turn is rotated to the first.
    return all(
        float(small.rot90(turns)[:reach, :reach][triangle].std()) < PLAIN
        for turns in range(4)
    )


def _within_canvas(frame: Frame) -> Frame:
    """The view of what lies slanted on a canvas that just holds it."""
    rotation = np.abs(frame.orientation.matrix[0]).sum()
    height, width = frame.sides / rotation
    return Frame(frame.orientation, frame.shape, (height, width))


def _is_enough(best: _Trial, upright: _Trial) -> bool:
    """Whether the evidence for another orientation than upright is."""
    if best.frame == upright.frame:
        return False
    row = ENOUGH[1 if _is_turned(best.frame) else 2]
    return _is_clear(best, upright) or _leads(best, upright, *row)


def _is_clear(best: _Trial, upright: _Trial) -> bool:
    """Whether two images of one specimen could not agree less."""
    return _leads(best, upright, *ENOUGH[0])


def _leads(best: _Trial, other: _Trial, least: float, times: float) -> bool:
    """Whether a view agrees enough, and so many times more than another."""
    return best.agreement >= max(least, times * other.agreement)


def _is_turned(frame: Frame) -> bool:
    """Whether a view is more than mirrored."""
    orientation = frame.orientation
    return _apart(orientation, Orientation(0, orientation.mirror))


def _by_agreement(trial: _Trial) -> float:
    return trial.agreement


def _turned_rival(best: _Trial, trials: Sequence[_Trial]) -> float:
    """Most agreement at another angle, mirrored or not."""
    degrees = best.frame.orientation.degrees
    return max(
        trial.agreement
        for trial in trials
        if trial.frame.orientation.degrees != degrees
    )


def _lead(taken: _Trial, trials: Sequence[_Trial]) -> float:
    """Lead over the best orientation that is another one, as a share."""
    one = taken.frame.orientation
    rival = max(
        (t.agreement for t in trials if _apart(t.frame.orientation, one)),
        default=0.0,
    )
    return (taken.agreement - rival) / max(taken.agreement, rival, 1e-6)


def _apart(one: Orientation, other: Orientation) -> bool:
    """Whether two orientations are not the same but for a few degrees."""
    angle = abs((one.degrees - other.degrees + 180) % 360 - 180)
    return one.mirror != other.mirror or angle > STEP / 2


def _followed(trial: _Trial) -> Frame:
    """The view turned on by what is left, and on the part that matches."""
    frame = trial.frame
    linear = trial.affine[:, :2] * frame.sides[:, None]
    # The rotation nearest to the map from the source to the view; their
    # proportions are taken to be alike.
    linear = linear / frame.sides
    angle = np.rad2deg(
        np.arctan2(linear[0, 1] - linear[1, 0], linear[0, 0] + linear[1, 1])
    )
    orientation = frame.orientation.turned(angle)
    if orientation.quarters is not None:
        return Frame(orientation, frame.shape)
    corners = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], float)
    there = corners @ trial.affine.T @ frame.linear.T + frame.offset
    pixels = (there - 0.5) * frame.shape
    # From pixels of the image to those of the new view.
    view = pixels @ orientation.matrix
    low, high = view.min(0), view.max(0)
    usual = Frame(orientation, frame.shape).sides
    extent = np.clip(high - low, 0.6 * usual, 1.5 * usual)
    middle = orientation.matrix @ ((low + high) / 2)
    return Frame(
        orientation,
        frame.shape,
        (float(extent[0]), float(extent[1])),
        (float(middle[0]), float(middle[1])),
    )


def _tried(
    model: SAMNet,
    pair: tuple[Tensor, Tensor],
    frames: Sequence[Frame],
    side: int,
    device: str,
) -> list[_Trial]:
    """Agreement of the source with the target in several views."""
    import torch

    from napari_samnet.samnet.light_features import telling_features

    source, target = (shrunk(image, side) for image in pair)
    batch = torch.cat((source, views(target, frames, side)))
    features = telling_features(model, batch.to(device))
    shares, affine = agreement(features[:1], features[1:])
    return [
        _Trial(view, float(share), matrix)
        for view, share, matrix in zip(
            frames,
            shares.cpu(),
            affine.cpu().double().numpy(),
            strict=True,
        )
    ]
