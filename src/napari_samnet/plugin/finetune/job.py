"""Fine-tuning in the background: files for the child, reports for the dock."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from napari_samnet.errors import InputError
from napari_samnet.files import atomic_write
from napari_samnet.plugin.finetune.images import (
    FolderImages,
    LayerImages,
    TrainingSource,
    check_count,
)
from napari_samnet.plugin.model.request import Outcome, Report
from napari_samnet.training.estimate import Timetable, duration
from napari_samnet.training.keeping import HeldOut
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.process import Trained, train_apart
from napari_samnet.training.runs import (
    OPTIONS_NAME,
    Progress,
    discard_run,
    made_steps,
    own_run,
)

#: File of a run's folder that tells which images it has seen.
IMAGES_NAME = 'images.json'
#: What is going on, by stage.
STAGES = {
    'decoder': 'decoder, step',
    'pairs': 'preparing image',
    'matcher': 'warps, step',
    'category': 'pairs, step',
}


@dataclass(frozen=True)
class FineTuneRequest:
    """What is to be trained on what."""

    #: The two images of the pair.
    images: TrainingSource
    #: Under which the network is kept.
    name: str
    #: Options of the training run.
    options: TrainingOptions


@dataclass(frozen=True)
class TrainingReport(Report):
    """Progress of training."""

    #: The step, where one was made.
    progress: Progress | None = None


@dataclass(frozen=True)
class FineTuned(Outcome):
    """What fine-tuning hands back."""

    #: What it has brought; None if it was stopped before it began.
    trained: Trained | None = field(default=None)


def finetune_steps(
    request: FineTuneRequest, stop: Event
) -> Generator[Report, None, FineTuned]:
    """Fine-tune in another process.

    ``stop``: set to stop after the current step and keep what was learnt.
    Yields: many times a second, so that closing the window is noticed.
    Raises InputError if the images cannot be used, or the process fails.
    """
    folder = own_run(request.name)
    yield TrainingReport(0, 0, 'looking at the images')
    names = request.images.names()
    mark = _check_same_images(folder, names)
    with tempfile.TemporaryDirectory(prefix='napari-samnet-') as temporary:
        if isinstance(request.images, FolderImages):
            check_count(len(names))
            source = request.images.path
        else:
            source = Path(temporary)
            yield from _write(request.images, source, request, stop)
        if stop.is_set():
            return FineTuned([], {}, True, 'Stopped before it began')
        try:
            trained = yield from _train(request, source, folder, mark, stop)
        finally:
            if not made_steps(folder):
                # A run that was refused must not hold on to its options.
                discard_run(folder)
    text = summary(request, trained, sum(made_steps(folder).values()))
    if trained.finished:
        # There is nothing to go on with.
        discard_run(folder)
    return FineTuned([], {}, not trained.finished, text, trained=trained)


def _write(
    images: LayerImages, folder: Path, request: FineTuneRequest, stop: Event
) -> Generator[Report, None, None]:
    """Write the layers' planes, which is soon done."""
    count = images.count
    check_count(count)
    for done in images.write(folder, request.options.size, stop):
        text = f'reading image {done} of {count}'
        yield TrainingReport(0, 0, text)


def _train(
    request: FineTuneRequest,
    source: Path,
    folder: Path,
    mark: str,
    stop: Event,
) -> Generator[Report, None, Trained]:
    table = Timetable(
        request.options, made_steps(folder), images=request.images.count
    )
    began = time.monotonic()
    text = 'starting'
    steps = train_apart(
        source, folder, request.options, name=request.name, stop=stop
    )
    with closing(steps):
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                trained: Trained = end.value
                return trained
            if progress is not None:
                if not (folder / IMAGES_NAME).exists():
                    with atomic_write(folder / IMAGES_NAME) as file:
                        file.write(json.dumps(mark).encode())
                table.follow(progress)
                stage = STAGES.get(progress.stage, f'{progress.stage}, step')
                text = f'{stage} {progress.step} of {progress.total}'
            left = duration(table.left(time.monotonic() - began))
            yield TrainingReport(
                round(100 * table.share),
                100,
                f'{text}, {left} left',
                progress=progress,
            )


def _check_same_images(folder: Path, names: list[str]) -> str:
    """Mark of the images; a run only goes on with those that it knows."""
    mark = hashlib.sha256('\n'.join(names).encode()).hexdigest()
    path = folder / IMAGES_NAME
    if not (folder / OPTIONS_NAME).is_file() or not path.is_file():
        return mark
    if json.loads(path.read_text(encoding='utf-8')) != mark:
        raise InputError(
            f'{folder.name!r} was begun with other images: choose those, or '
            f'start over'
        )
    return mark


def summary(request: FineTuneRequest, trained: Trained, step: int) -> str:
    """Say what fine-tuning has brought.

    Returns: two or three short sentences.
    """
    parts = []
    if not trained.finished:
        total = sum(request.options.steps.values())
        reached = f' after step {step} of {total}'
        parts.append(f'Stopped{reached if step else ""}.')
    if trained.held_out is not None:
        parts.append(_compare('Held-out error', trained.held_out))
    if trained.pairs is not None:
        parts.append(_compare('Error between images', trained.pairs))
    parts.append(
        f'Saved as {request.name!r}.'
        if trained.weights
        else 'Nothing better to save.'
    )
    return ' '.join(parts)


def _compare(what: str, errors: HeldOut) -> str:
    if errors.kept < errors.before:
        change = 100 * (1 - errors.kept / errors.before)
        return (
            f'{what} {errors.before:.2f} → {errors.kept:.2f} px '
            f'({change:.0f} % less).'
        )
    return (
        f'{what} {errors.before:.2f} px before, {errors.after:.2f} px '
        f'after: the weights of before are kept.'
    )
