"""The folder of results that one match leaves behind.

All files are made in a hidden folder beside the destination and moved there
at the end, so that a run that fails or is interrupted leaves nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samnet.arrays.lazy import is_large
from napari_samnet.errors import InputError, cannot
from napari_samnet.io.formats.names import CLASSES, FORMATS
from napari_samnet.outputs.written import WrittenFiles

if TYPE_CHECKING:
    from napari_samnet.correspondence import Correspondence
    from napari_samnet.io.points_csv import PointTable

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

#: Those that have another name where the image is very large, or of numbers
#: that the usual file does not hold.
LARGE = {'transferred': 'transferred.tif'}

#: Name of the warped labels for other programs, without the ending.
_STEM = 'warped_labels'


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
    if not os.fspath(folder):
        # As a variable of a shell is that was never set; not this folder.
        raise InputError('the folder for results has no name')
    path = Path(folder)
    above = _nearest(path)
    if not above.is_dir():
        raise InputError(f'{above} is a file, expected a folder for results')
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f'nothing may be written to the folder {above}')
    return path


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
    #: Points of the source.
    points: PointTable | None = None
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
        from napari_samnet.io.image_files import (
            fits_png,
            write_png,
            write_tiff,
        )
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
            carried_points = result.warp_points(self.points.points)
            write_points(path, carried_points, self.points)
        axis = self.axes[0]
        path = paths.get('transferred')
        if path and result.transferred is not None:
            write: Any = write_png
            if is_large(result.transferred.nbytes) or not fits_png(
                result.transferred, axis
            ):
                # A large PNG would be made in memory, and few programs open
                # it; another one would not keep the numbers.
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


@dataclass(frozen=True, kw_only=True)
class OtherPrograms:
    """How the warped labels are written for other programs."""

    #: Formats, such as 'coco'.
    kinds: Sequence[str]
    #: Name of the target's file.
    image: str
    #: Names and 8-bit colors of ids.
    names: dict[int, str] | None = None
    colors: dict[int, tuple[int, int, int]] | None = None


def label_file_names(kinds: Iterable[str] = FORMATS) -> list[str]:
    """Names of the files of warped labels for other programs."""
    return [f'{_STEM}{FORMATS[kind]}' for kind in kinds]


def check_results(
    folder: Path,
    only: Iterable[str],
    kinds: Iterable[str] = (),
    *,
    read: Iterable[Path] = (),
) -> None:
    """Refuse to replace results that are not as a run left them.

    ``only``: keys of `FILES` that are about to be written.
    ``kinds``: formats that warped labels are about to be written in.
    ``read``: files that the results are made from.
    Raises InputError if one of the files was changed by hand since, if it is
    not ours, or is read.
    """
    ours = WrittenFiles(folder)
    new = [FILES[key] for key in only] + label_file_names(kinds)
    # What is not made anew would go, for it belongs to another match.
    earlier = ours.changed((*FILES.values(), *label_file_names()))
    ours.check((*new, *earlier), read=read)


def write_results(
    folder: Path,
    products: Products,
    others: OtherPrograms | None = None,
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Write what was found, replacing an earlier run's files.

    All files appear together, or none does.

    ``folder``: destination, made if it is not there.
    ``others``: formats to write the warped labels in as well.
    Returns: ``files``: path of each file that was written, by a key of
    `FILES`, or ``warped_labels_`` and the format; ``notices``: what formats
    could not hold as it was.
    Raises InputError if the files cannot be written.
    """
    notices: tuple[str, ...] = ()
    try:
        with tempfile.TemporaryDirectory(
            dir=_nearest(folder), prefix='.napari-samnet-'
        ) as made:
            draft = Path(made)
            products.write(draft)
            labels = products.result.warped_labels
            if others is not None and labels is not None:
                if (folder / CLASSES).is_file():
                    # Classes are added to it.
                    shutil.copyfile(folder / CLASSES, draft / CLASSES)
                from napari_samnet.io.formats.registry import (
                    write_label_formats,
                )

                _, notices = write_label_formats(
                    draft / _STEM,
                    labels,
                    others.kinds,
                    image=others.image,
                    names=others.names,
                    colors=others.colors,
                )
            return _move(draft, folder), notices
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

    from napari_samnet.files import atomic_write, make_folder
    from napari_samnet.outputs.overview import draw_overview

    picture = Image.fromarray(draw_overview(result=result, **pictured))
    path = folder / FILES['overview']
    make_folder(folder)
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
    ours = WrittenFiles(folder)
    written = {}
    kinds = {f'warped_labels_{kind}': kind for kind in FORMATS}
    for key, name in (
        *FILES.items(),
        *LARGE.items(),
        *zip(kinds, label_file_names(kinds.values()), strict=True),
    ):
        if (draft / name).exists():
            written[key] = str(ours.put(draft / name))
        else:
            ours.drop(name)
    if (draft / CLASSES).exists():
        ours.put(draft / CLASSES)
    return written
