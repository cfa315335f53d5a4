"""What a run's folder holds, and how far a run has come.

Torch is not imported here: the widget looks into folders too.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_samnet.errors import InputError, in_one_line
from napari_samnet.files import user_folder
from napari_samnet.training.options import TrainingOptions

WEIGHTS_NAME = 'samnet.safetensors'
OPTIONS_NAME = 'options.json'
MATCHER_NAME = 'matcher.json'
CATEGORY_NAME = 'category.json'
CURVE_NAME = 'curve.jsonl'
#: Behind the name of a stage.
CHECKPOINT = '.checkpoint.safetensors'


@dataclass(frozen=True)
class Progress:
    """One training step."""

    #: Name of the stage.
    stage: str
    #: ``step``, ``total``: steps made and to make.
    step: int
    total: int
    #: Each term of the loss.
    losses: dict[str, float]
    #: Since this run began.
    seconds: float
    #: Mean end-point error of held-out pairs at this point, in pixels at
    #: working size, where it was measured.
    held_out: float | None = None


def own_run(name: str) -> Path:
    """Folder of the run that makes the user's network of that name."""
    return user_folder('training') / name


def unfinished_runs() -> tuple[str, ...]:
    """Names of the user's runs that can go on; the latest comes first."""
    options_files = user_folder('training').glob(f'*/{OPTIONS_NAME}')
    latest = sorted(options_files, key=lambda path: -path.stat().st_mtime)
    return tuple(path.parent.name for path in latest)


def read_options(folder: Path) -> TrainingOptions | None:
    """Options with which a run was begun.

    Returns: None if there is no run. Raises InputError if they cannot be
    understood.
    """
    path = folder / OPTIONS_NAME
    if not path.is_file():
        return None
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
        return TrainingOptions(**values)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(
            f'{path} does not hold the options of a run: {in_one_line(error)}'
        ) from error


def made_steps(folder: Path) -> dict[str, int]:
    """Steps after which each stage of a run goes on.

    Returns: steps by stage; stages without a checkpoint are missing.
    """
    from safetensors import SafetensorError, safe_open

    made = {}
    for path in sorted(folder.glob(f'*{CHECKPOINT}')):
        try:
            with safe_open(path, framework='numpy') as file:
                step = int(file.get_tensor('step'))
        except (SafetensorError, OSError):
            # The run itself says what is wrong with it.
            step = 0
        made[path.name.removesuffix(CHECKPOINT)] = step
    return made


def discard_run(folder: Path) -> None:
    """Remove a run's folder with all that is in it."""
    if (folder / OPTIONS_NAME).is_file():
        shutil.rmtree(folder, ignore_errors=True)
