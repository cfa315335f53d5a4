"""What is said of each plane of a series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal['annotated', 'good', 'look', 'empty', 'skipped', 'ended']


@dataclass(frozen=True)
class PlaneReport:
    """How the propagation went on one plane.

    Parameters
    ----------
    index : int
        Place of the plane in the series.
    state : str
        'annotated': drawn or corrected, and left as it is. 'good'. 'look':
        has labels, but should be looked at. 'empty': nothing that was
        annotated is seen here. 'skipped': the plane cannot be used, such as
        one that is blank; the series goes on behind it. 'ended': here the
        chain ended, no labels from here on.
    reason : str
        In one line why, for all states but 'good' and 'annotated'.
    quality : float
        Share, from 0 to 1, of the annotated labels that is found again when
        the labels of this plane are carried back; 0 where there are none.
    similarity : float
        How alike the plane and the reference most like it are, at most 1.3.
    missing : tuple of int
        Annotated ids that are not seen here.
    source : int or None
        Annotated plane that it was carried from.
    """

    index: int
    state: State
    reason: str = ''
    quality: float = 0.0
    similarity: float = 0.0
    missing: tuple[int, ...] = ()
    source: int | None = None

    @property
    def is_labeled(self) -> bool:
        """Whether its labels are a result, be it that there are none."""
        return self.state not in ('skipped', 'ended')

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON can hold them."""
        values = asdict(self)
        for name in ('quality', 'similarity'):
            values[name] = round(float(values[name]), 3)
        values['missing'] = list(self.missing)
        return values


def summarize(
    reports: Iterable[PlaneReport],
    planes: int,
    length: int,
    seconds: float,
    *,
    cancelled: bool = False,
    files: Sequence[str] | None = None,
) -> str:
    """One line on how a propagation ended.

    ``files``: names of the planes, where each has a file of its own.
    Returns: how many planes were done, where chains ended, and which planes
    are to be looked at.
    """
    reports = sorted(reports, key=lambda report: report.index)
    start = 'Cancelled, kept' if cancelled else 'Done,'
    text = f'{start} {planes} of {length} planes, {seconds:.1f} s'
    cuts = [
        report.index
        for report in reports
        if report.state == 'ended' and report.similarity
    ]
    if cuts:
        text += ended_before(cuts, files)
    for state, what in (
        ('skipped', 'left out'),
        ('empty', 'nothing seen on'),
        ('look', 'look at'),
    ):
        some = [report.index for report in reports if report.state == state]
        if some:
            text += f'; {what} {named_planes(some, files)}'
    return text


def ended_before(places: list[int], files: Sequence[str] | None = None) -> str:
    """What is said of planes that do not match those before them.

    Returns: a part of a sentence, to be put behind others.
    """
    does = 'does' if len(places) == 1 else 'do'
    named = named_planes(places, files)
    return f'; ended before {named}, which {does} not match'


def named_planes(places: list[int], files: Sequence[str] | None = None) -> str:
    """A few planes in a sentence, by their files or else by number."""
    if files is not None:
        return _joined([files[place] for place in places])
    numbers = _joined([str(place) for place in places])
    return f'plane{"s" * (len(places) > 1)} {numbers}'


def _joined(places: list[str]) -> str:
    """A few names in a sentence."""
    shown = places[:6]
    if len(places) > 6:
        return ', '.join(shown) + f' and {len(places) - 6} more'
    if len(shown) == 1:
        return shown[0]
    return ', '.join(shown[:-1]) + f' and {shown[-1]}'
