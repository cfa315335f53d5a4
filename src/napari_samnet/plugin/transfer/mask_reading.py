"""Files of masks that were dropped, read in the worker."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from napari.layers import Labels

from napari_samnet.errors import InputError
from napari_samnet.io.picture import LabelPicture
from napari_samnet.plugin.layers.maskfiles import read_mask
from napari_samnet.plugin.model.conversion import displayable, label_table
from napari_samnet.plugin.model.grids import Grid
from napari_samnet.plugin.model.request import Outcome, Report


@dataclass(frozen=True)
class MaskFile:
    """A file that is to become labels of an image."""

    #: Where it is.
    path: str
    #: Grid and identity of the image.
    grid: Grid
    owner: Hashable
    #: What :func:`.read_mask` is told besides.
    how: Mapping[str, Any]

    @property
    def identity(self) -> Hashable:
        """What is the same when the same is asked for again."""
        return Path(self.path).resolve(), self.owner, self._chosen

    @property
    def as_it_is(self) -> bool:
        """Whether all of it is read, and nothing is changed."""
        return self._chosen == (None, False)

    @property
    def _chosen(self) -> tuple[int | None, bool]:
        return self.how.get('page'), self.how.get('resample', False)

    def read(self) -> LabelPicture:
        """Labels of the file, and what is to be said of them.

        Raises InputError if it is no mask, or not one of this image.
        """
        return displayable(read_mask(self.path, self.grid, **self.how))

    def layer_of(self, read: LabelPicture) -> Labels:
        """Layer of what was read."""
        grid = self.grid
        if read.labels.shape != grid.shape:
            grid = grid.plane()
        name = Path(self.path).stem
        return Labels(
            read.labels, name=name, **label_table(read), **grid.spatial
        )


@dataclass(frozen=True)
class MasksRead(Outcome):
    """What was read of some files."""

    #: Labels, or why there are none, in the order of the files.
    masks: Sequence[LabelPicture | InputError] = field(default=())


def reading_steps(
    files: Sequence[MaskFile],
) -> Callable[[Event], Generator[Report, None, MasksRead]]:
    """Bind files for the runner.

    Returns: takes the flag that asks for a stop, returns the generator.
    """

    def make(stop: Event) -> Generator[Report, None, MasksRead]:
        masks: list[LabelPicture | InputError] = []
        for number, file in enumerate(files):
            name = Path(file.path).name
            yield Report(number, len(files), f'reading {name}')
            if stop.is_set():
                break
            try:
                masks.append(file.read())
            except InputError as error:
                masks.append(error)
        return MasksRead((), {}, stop.is_set(), '', masks=masks)

    return make
