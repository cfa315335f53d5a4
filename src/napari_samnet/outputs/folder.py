"""The folder of results that one match leaves behind.

All files are made in a hidden folder beside the destination and moved there
at the end, so that a run that fails or is interrupted leaves nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samnet.arrays.lazy import is_large
from napari_samnet.errors import InputError, cannot

if TYPE_CHECKING:
    from napari_samnet.correspondence import Correspondence

#: Every file that a match can leave, by what it holds.
FILES = {
    'flow': 'flow.flo',
    'confidence': 'confidence.tif',
    'warped_labels': 'warped_labels.tif',
    'warped_points': 'warped_points.csv',
    'transferred': 'transferred.png',
    'correspondence': 'correspondence.npz',
    'overview': 'overview.png',
}

#: Those that have another name where the image is very large.
LARGE = {'transferred': 'transferred.tif'}

#: Results that people correct; the others are only looked at.
CORRECTED = ('warped_labels', 'warped_points', 'transferred')

#: Seconds that files of one run are apart at most, by the clocks of disks.
LATER = 1.0


def needs_transferred(only: Collection[str]) -> bool:
    """Whether the transferred image is in any of the files.

    Returns: False where a match need not make it.
    """
    return not {'transferred', 'correspondence', 'overview'}.isdisjoint(only)


def check_folder(folder: str | os.PathLike[str]) -> Path:
    """Check that results can be written to a folder, existing or not.

    ``folder``: where the results shall be. Raises InputError if it is
    something else, or nothing may be written there.
    """
    path = Path(folder)
    above = _nearest(path)
    if not above.is_dir():
        raise InputError(f'{above} is a file, expected a folder for results')
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f'nothing may be written to the folder {above}')
    return path


def check_unchanged(files: Iterable[Path], record: Path) -> None:
    """Refuse to replace results that were corrected by hand.

    ``files``: results of an earlier run, which need not be there.
    ``record``: what that run wrote after them; without it nothing is known.
    Raises InputError if one of the files is newer.
    """
    with suppress(FileNotFoundError):
        written = record.stat().st_mtime
        for file in files:
            if file.exists() and file.stat().st_mtime > written + LATER:
                raise InputError(
                    f'{file} was changed after it was written: move it away, '
                    'or choose another folder with --out'
                )


@dataclass(frozen=True, eq=False, kw_only=True)
class Products:
    """A match and what it was made from, ready to be written."""

    #: Correspondence of the two images.
    result: Correspondence
    #: ``source``, ``target``: the images as they were matched.
    source: Any
    target: Any
    #: Labels of the source.
    labels: Any = None
    #: (N, 2): points of the source.
    points: Any = None
    #: Axes of the channels of source and target.
    axes: tuple[int | None, int | None] = (None, None)
    #: ICC profile of the source's file, which the transferred image is written
    #: with.
    profile: bytes | None = None
    #: 8-bit color of each id, which the warped labels are written with where
    #: their type can have a palette.
    label_colors: dict[int, tuple[int, int, int]] | None = None
    #: Keys of `FILES` that are wanted.
    only: Collection[str] = tuple(FILES)

    def write(self, folder: Path) -> None:
        """Write the files into a folder that is there."""
        from napari_samnet.io.flo import write_flo
        from napari_samnet.io.image_files import write_png, write_tiff
        from napari_samnet.io.label_files import write_labels
        from napari_samnet.io.points_csv import write_points

        result = self.result
        paths = {
            key: folder / name
            for key, name in FILES.items()
            if key in self.only
        }
        if path := paths.get('flow'):
            write_flo(path, result.flow)
        if path := paths.get('confidence'):
            write_tiff(path, result.confidence)
        path = paths.get('warped_labels')
        if path and self.labels is not None:
            carried = result.warped_labels
            if carried is None:
                options = result.metadata.get('options', {})
                wanted = options.get('outlines', True)
                carried = result.warp_labels(
                    self.labels,
                    image=self.target if wanted else None,
                    channel_axis=self.axes[1],
                )
            write_labels(path, carried, colors=self.label_colors)
        path = paths.get('warped_points')
        if path and self.points is not None:
            write_points(path, result.warp_points(self.points))
        axis = self.axes[0]
        path = paths.get('transferred')
        if path and result.transferred is not None:
            write: Any = write_png
            if is_large(result.transferred.nbytes):
                # A PNG would be made in memory, and few programs open it.
                path = folder / LARGE['transferred']
                write = write_tiff
            write(
                path,
                result.transferred,
                channel_axis=axis,
                profile=self.profile,
            )
        if path := paths.get('correspondence'):
            result.save(path)
        if 'overview' in paths:
            write_overview(
                folder,
                result,
                source=self.source,
                target=self.target,
                labels=self.labels,
                source_channel_axis=self.axes[0],
                target_channel_axis=self.axes[1],
            )


def write_results(folder: Path, products: Products) -> dict[str, str]:
    """Write what was found, replacing an earlier run's files.

    ``folder``: destination, made if it is not there.
    Returns: path of each file that was written, by a key of `FILES`.
    Raises InputError if the files cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(
            dir=_nearest(folder), prefix='.napari-samnet-'
        ) as draft:
            products.write(Path(draft))
            return _move(Path(draft), folder)
    except OSError as error:
        raise cannot(f'write the results to {folder}', error) from error


def write_overview(
    folder: Path, result: Correspondence, **pictured: Any
) -> Path:
    """Write the overview alone.

    ``folder``: destination, made if it is not there. Raises InputError if it
    cannot be written.
    """
    from PIL import Image

    from napari_samnet.files import atomic_write
    from napari_samnet.outputs.overview import draw_overview

    picture = Image.fromarray(draw_overview(result=result, **pictured))
    path = folder / FILES['overview']
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot(f'make the folder {folder}', error) from error
    with atomic_write(path) as file:
        picture.save(file, format='png')
    return path


def _nearest(folder: Path) -> Path:
    """The folder itself or the nearest thing above it that exists."""
    for path in (folder, *folder.absolute().parents):
        if path.exists():
            return path
    return Path(folder.absolute().anchor)


def _move(draft: Path, folder: Path) -> dict[str, str]:
    """Move the files; what an earlier run left and this one not goes."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for key, name in (*FILES.items(), *LARGE.items()):
        if (draft / name).exists():
            os.replace(draft / name, folder / name)
            written[key] = str(folder / name)
        else:
            with suppress(FileNotFoundError):
                (folder / name).unlink()
    return written
