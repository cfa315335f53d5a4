"""Progress of a match, on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_samnet.matching.step import Step


class MatchProgress:
    """Progress bar on standard error, driven by the steps of a match."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=1,
            desc='starting',
            file=sys.stderr,
            bar_format='{desc:<28} |{bar:30}| {n_fmt}/{total_fmt} [{elapsed}]',
        )

    def __enter__(self) -> MatchProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, step: Step) -> None:
        self._bar.total = step.total
        self._bar.n = step.index
        self._bar.set_description_str(step.text)
