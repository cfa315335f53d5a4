"""Further files, carried by a correspondence that was found before."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_samnet.files import make_folder
from napari_samnet.io.formats.names import FORMATS
from napari_samnet.io.formats.registry import (
    format_of,
    read_label_format,
    write_label_formats,
)
from napari_samnet.io.image_files import (
    read_picture,
    read_stored,
    write_tiff,
)
from napari_samnet.io.label_files import read_label_picture, write_labels
from napari_samnet.io.picture import WHOLE_FILE, LabelPicture, PlaneChoice
from napari_samnet.io.points_csv import (
    about_places,
    read_point_table,
    write_points,
)
from napari_samnet.outputs.written import WrittenFiles

if TYPE_CHECKING:
    from napari_samnet.correspondence import Correspondence


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """Carries files on the source's grid to the target's."""

    #: Correspondence that everything is carried by.
    correspondence: Correspondence
    #: Where results are written; made if it is not there.
    folder: Path
    #: 'labels', 'image', 'points', or 'auto'.
    kind: str = 'auto'
    #: Page and channel to take of every file; of labels the page alone.
    plane: PlaneChoice = WHOLE_FILE
    #: Formats of other programs that labels are written in too.
    formats: tuple[str, ...] = ()
    #: Labels that are less sure are left out.
    min_confidence: float = 0.0
    _taken: set[str] = field(default_factory=set)

    def carry(self, file: Path) -> tuple[list[Path], tuple[str, ...]]:
        """Carry one file.

        ``file``: an image, labels, or points.
        Returns: ``files``: what was written; ``notices``: what was decided.
        Raises InputError if it cannot be read or written, or is of another
        size.
        """
        kind = self._kind_of(file) if self.kind == 'auto' else self.kind
        make_folder(self.folder)
        if kind == 'points':
            path = self._free(file, '.csv')
            page = self.plane.page
            table = read_point_table(
                file, page if isinstance(page, int) else None
            )
            carried = self.correspondence.warp_points(table.points)
            self._check(file, path)
            write_points(path, carried, table)
            told = about_places(
                table.points,
                self.correspondence.source_shape,
                file.name,
                'the grid of the match',
            )
            return self._noted([path]), told
        return self._labels(file) if kind == 'labels' else self._image(file)

    def _kind_of(self, file: Path) -> str:
        if file.suffix.lower() == '.csv':
            return 'points'
        if format_of(file):
            return 'labels'
        stored = read_stored(file, 'file', self.plane.page)
        labels = stored.space == 'palette' or stored.pixels.dtype == bool
        return 'labels' if labels else 'image'

    def _labels(self, file: Path) -> tuple[list[Path], tuple[str, ...]]:
        shape = self.correspondence.source_shape
        page = self.plane.page if isinstance(self.plane.page, int) else None
        read: LabelPicture
        if format_of(file):
            read = read_label_format(file, shape, page=page)
        else:
            read = read_label_picture(file, page=page)
        carried = self.correspondence.warp_labels(
            read.labels, min_confidence=self.min_confidence
        )
        path = self._free(file, '.tif')
        stem = path.with_suffix('').name
        self._check(
            file,
            path,
            *(self.folder / f'{stem}{FORMATS[kind]}' for kind in self.formats),
        )
        write_labels(path, carried, colors=read.colors)
        files, notices = write_label_formats(
            path.with_suffix(''),
            carried,
            self.formats,
            image=path.name,
            names=read.names,
            colors=read.colors,
        )
        return self._noted([path, *files]), (*read.notices, *notices)

    def _image(self, file: Path) -> tuple[list[Path], tuple[str, ...]]:
        picture = read_picture(file, **asdict(self.plane))
        pixels, axis = picture.pixels, picture.channel_axis
        if axis == 1:
            pixels, axis = np.moveaxis(pixels, 1, 0), 0
        carried = self.correspondence.warp_image(pixels, to='target')
        path = self._free(file, '.tif')
        self._check(file, path)
        write_tiff(path, carried, channel_axis=axis, profile=picture.profile)
        notices = picture.notices
        if pixels.ndim == 2 and pixels.dtype.kind in 'iu':
            notices = (
                *notices,
                f'{file.name} is carried as an image, mixing neighbors; if '
                f'its numbers are ids, say --as labels',
            )
        return self._noted([path]), notices

    def _check(self, read: Path, *paths: Path) -> None:
        """Refuse to overwrite what no run has left there."""
        names = [path.name for path in paths]
        WrittenFiles(self.folder).check(names, read=[read])

    def _noted(self, paths: list[Path]) -> list[Path]:
        """The same paths, noted as ours."""
        ours = WrittenFiles(self.folder)
        for path in paths:
            ours.note(path.name)
        return paths

    def _free(self, file: Path, suffix: str) -> Path:
        """A name after the file that no other file of this run has."""
        stem = f'{file.stem}-warped'
        name, number = f'{stem}{suffix}', 1
        while name.casefold() in self._taken:
            number += 1
            name = f'{stem}-{number}{suffix}'
        self._taken.add(name.casefold())
        return self.folder / name
