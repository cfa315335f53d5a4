"""What a run has brought: better or not, and kept under which name."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samnet.samnet.config import STRIDE
from napari_samnet.training.options import TRAINING_DEFAULTS, TrainingOptions
from napari_samnet.training.runs import (
    CATEGORY_NAME,
    MATCHER_NAME,
    WEIGHTS_NAME,
    made_steps,
)

if TYPE_CHECKING:
    from napari_samnet.samnet.network import SAMNet


@dataclass(frozen=True)
class HeldOut:
    """Mean error of held-out pairs, in pixels at working size."""

    #: With the network that the run started from.
    before: float
    #: With the network as it was trained last.
    after: float
    #: With the better of the two, which the run keeps.
    kept: float


def read_held_out(folder: Path) -> HeldOut | None:
    """Errors that a run has noted.

    Returns: None if the matching network was not trained.
    """
    path = folder / MATCHER_NAME
    if not path.is_file():
        return None
    cells = json.loads(path.read_text(encoding='utf-8'))['held_out_epe_cells']
    names = ('before', 'after', 'kept')
    return HeldOut(*(round(STRIDE * cells[name][-1], 3) for name in names))


def read_pairs(folder: Path) -> HeldOut | None:
    """Errors on pairs of images that a run has noted.

    Returns: how far matching to another image and back misses; None if no
    pairs were trained on.
    """
    path = folder / CATEGORY_NAME
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding='utf-8'))
    before, after = (
        round(STRIDE * record[name]['bipath'], 3)
        for name in ('before', 'after')
    )
    return HeldOut(before, after, after if record['kept'] else before)


def keep_network(
    folder: Path, name: str, options: TrainingOptions, *, images: int
) -> Path | None:
    """Keep a run's network among the user's own, if it has changed.

    Returns: the weights file; None if the network is the one that the run
    started from, since nothing better was found.
    """
    from napari_samnet.runtime.user_weights import save_own_weights
    from napari_samnet.runtime.weights import get_weights, read_model

    model = read_model(folder / WEIGHTS_NAME)
    if options.start:
        start = get_weights(options.start)
        if _alike(model, read_model(start.path)):
            return None
    return save_own_weights(model, name, _card(folder, options, images))


def _alike(one: SAMNet, other: SAMNet) -> bool:
    """Whether two networks hold the same numbers."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(
        bool((mine[key] == theirs[key]).all()) for key in mine
    )


def _card(
    folder: Path, options: TrainingOptions, images: int
) -> dict[str, Any]:
    """Model card of a network that was trained here."""
    given = asdict(options)
    # Where files lie on this computer is nobody else's business.
    for key in (
        'start',
        'backbone_weights',
        'light_weights',
        'validation',
        'keypoints',
    ):
        given[key] = Path(given[key]).name
    for key in ('validation_root', 'keypoints_root', 'objects_root'):
        del given[key]
    standard = asdict(TRAINING_DEFAULTS)
    card: dict[str, Any] = {
        'description': 'Trained by the user on own images.',
        'start': given.pop('start'),
        'images': images,
        'steps_made': made_steps(folder),
        'recipe': {k: v for k, v in given.items() if v != standard[k]},
    }
    errors = read_held_out(folder)
    if errors is not None:
        card['held_out_epe_px'] = {
            'before': errors.before,
            'kept': errors.kept,
        }
    pairs = read_pairs(folder)
    if pairs is not None:
        card['held_out_pairs_px'] = {
            'before': pairs.before,
            'kept': pairs.kept,
        }
    return card
