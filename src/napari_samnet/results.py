"""The folder of results that one match leaves behind.

All files are made in a hidden folder beside the destination and moved there
at the end, so that a run that fails or is interrupted leaves nothing.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samnet.errors import InputError

if TYPE_CHECKING:
    from napari_samnet.correspondence import Correspondence

__all__ = ['FILES', 'check_folder', 'write_overview', 'write_results']

#: Every file that a match can leave, by what it holds.
FILES = {
    'flow': 'flow.flo',
    'confidence': 'confidence.tif',
    'warped_labels': 'warped_labels.tif',
    'transferred': 'transferred.png',
    'correspondence': 'correspondence.npz',
    'overview': 'overview.png',
}


def check_folder(folder: str | os.PathLike[str]) -> Path:
    """Check that results can be written to a folder, existing or not.

    Parameters
    ----------
    folder : path-like
        Where the results shall be.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If it is something else, or nothing may be written there.
    """
    path = Path(folder)
    above = _nearest(path)
    if not above.is_dir():
        raise InputError(f'{above} is a file, expected a folder for results')
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f'nothing may be written to the folder {above}')
    return path


def write_results(
    folder: Path,
    result: Correspondence,
    *,
    source: Any,
    target: Any,
    labels: Any = None,
    axes: tuple[int | None, int | None] = (None, None),
) -> dict[str, str]:
    """Write everything that was found, replacing an earlier run's files.

    Parameters
    ----------
    folder : Path
        Destination, made if it is not there.
    result : Correspondence
        What was found.
    source, target : array_like
        The images.
    labels : array_like, optional
        Labels of the source.
    axes : tuple of int or None
        Axes of the channels of source and target.

    Returns
    -------
    dict of str to str
        Path of each file that was written, by a key of `FILES`.

    Raises
    ------
    InputError
        If the files cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(
            dir=_nearest(folder), prefix='.napari-samnet-'
        ) as draft:
            _write_all(
                Path(draft),
                result,
                source=source,
                target=target,
                labels=labels,
                axes=axes,
            )
            return _move(Path(draft), folder)
    except OSError as error:
        raise InputError(
            f'cannot write the results to {folder}: {error.strerror or error}'
        ) from error


def write_overview(
    folder: Path, result: Correspondence, **pictured: Any
) -> Path:
    """Write the overview alone.

    Parameters
    ----------
    folder : Path
        Destination, made if it is not there.
    result : Correspondence
        What was found.
    **pictured
        Further arguments of :func:`napari_samnet.overview.draw_overview`.

    Returns
    -------
    Path
        The picture.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    from PIL import Image

    from napari_samnet.files import atomic_write
    from napari_samnet.overview import draw_overview

    picture = Image.fromarray(draw_overview(result=result, **pictured))
    path = folder / FILES['overview']
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'cannot make the folder {folder}: {error.strerror or error}'
        ) from error
    with atomic_write(path) as file:
        picture.save(file, format='png')
    return path


def _nearest(folder: Path) -> Path:
    """The folder itself or the nearest thing above it that exists."""
    for path in (folder, *folder.absolute().parents):
        if path.exists():
            return path
    return Path(folder.absolute().anchor)


def _write_all(
    draft: Path,
    result: Correspondence,
    *,
    source: Any,
    target: Any,
    labels: Any,
    axes: tuple[int | None, int | None],
) -> None:
    from napari_samnet.flowfile import write_flo
    from napari_samnet.imagefiles import write_png, write_tiff

    write_flo(draft / FILES['flow'], result.flow)
    write_tiff(draft / FILES['confidence'], result.confidence)
    if labels is not None:
        carried = result.warped_labels
        if carried is None:
            carried = result.warp_labels(labels)
        write_tiff(draft / FILES['warped_labels'], carried)
    if result.transferred is not None:
        write_png(
            draft / FILES['transferred'],
            result.transferred,
            channel_axis=axes[0],
        )
    result.save(draft / FILES['correspondence'])
    write_overview(
        draft,
        result,
        source=source,
        target=target,
        labels=labels,
        source_channel_axis=axes[0],
        target_channel_axis=axes[1],
    )


def _move(draft: Path, folder: Path) -> dict[str, str]:
    """Move the files; what an earlier run left and this one not goes."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for key, name in FILES.items():
        if (draft / name).exists():
            os.replace(draft / name, folder / name)
            written[key] = str(folder / name)
        else:
            with suppress(FileNotFoundError):
                (folder / name).unlink()
    return written
