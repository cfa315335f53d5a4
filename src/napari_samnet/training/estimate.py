"""How long training takes, before and while it runs."""

from __future__ import annotations

from collections.abc import Mapping

from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.runs import Progress

#: Seconds on two cores of a laptop: until the first step; at size 256 for
#: making a pair, for measuring one, for a pair of a step and an iteration;
#: and for a crop of 128 pixels of a decoder step.
START = 10.0
PAIR = 0.5
MEASURED = 0.2
MATCHED = 0.05
CROP = 0.3
#: Steps on pairs of images match to and fro and transfer attributes.
AMONG = 9


class Timetable:
    """Divides a run into parts of known length.

    ``made``: steps made before, by stage.
    """

    def __init__(
        self,
        options: TrainingOptions,
        made: Mapping[str, int] | None = None,
        *,
        images: int = 20,
    ) -> None:
        self._made = dict(made or {})
        area = (options.size / 256) ** 2
        crops = options.decoder_batch * (options.crop / 128) ** 2
        self._parts = {
            'start': START,
            'decoder': CROP * crops * self._left(options, 'decoder'),
            'pairs': 0.0,
            'matcher': 0.0,
            'category': 0.0,
        }
        if options.steps.get('category'):
            matched = options.category_batch * options.iterations
            steps = self._left(options, 'category')
            seen = min(images, options.category_images)
            self._parts['category'] = area * (
                AMONG * MATCHED * matched * steps + 2 * PAIR * seen
            )
        if options.matcher_steps:
            moving = options.matcher_objects
            checked = options.checked * (2 if moving else 1)
            pairs = options.pairs + moving + checked
            self._parts['pairs'] = PAIR * area * pairs
            matched = options.matcher_batch * options.iterations
            step = MATCHED * area * matched
            measured = 12 * MEASURED * area * checked * options.iterations / 4
            steps = self._left(options, 'matcher')
            self._parts['matcher'] = step * steps + measured
        self._done = 0.0

    def _left(self, options: TrainingOptions, stage: str) -> int:
        return max(0, options.steps.get(stage, 0) - self._made.get(stage, 0))

    @property
    def seconds(self) -> float:
        """Length of the whole run."""
        return sum(self._parts.values())

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        return min(1.0, self._done / self.seconds)

    def follow(self, progress: Progress) -> None:
        """Take note of a step; the share never falls."""
        names = list(self._parts)
        counts = progress.losses or progress.stage == 'pairs'
        if progress.stage not in names or not counts:
            return
        before = names[: names.index(progress.stage)]
        made = self._made.get(progress.stage, 0)
        steps = max(1, progress.total - made)
        part = self._parts[progress.stage] * (progress.step - made) / steps
        done = sum(self._parts[name] for name in before) + part
        self._done = max(self._done, done)

    def left(self, elapsed: float) -> float:
        """Seconds left, judged by the time that the work has taken so far.

        ``elapsed``: seconds since the run was begun.
        """
        planned = self.seconds - self._done
        if self._done < 0.1 * self.seconds:
            # The beginning says little about this computer.
            return max(planned, self.seconds - elapsed)
        return planned * elapsed / self._done


def duration(seconds: float) -> str:
    """Say roughly how long something takes.

    ``seconds``: how long it takes, in seconds.
    """
    minutes = round(seconds / 60)
    if seconds < 50:
        return 'under a minute'
    if minutes < 2:
        return 'about a minute'
    if minutes < 100:
        return f'about {minutes} minutes'
    return f'about {round(minutes / 60)} hours'
