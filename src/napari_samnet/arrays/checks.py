"""What a correspondence must be made of, and what it can be applied to.

Every function raises :class:`~napari_samnet.errors.InputError` with what was
expected and what came.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.brief import in_brief
from napari_samnet.arrays.lazy import new_array
from napari_samnet.arrays.types import FloatArray
from napari_samnet.errors import InputError

#: Names of the row and the column in tables of points.
POINT_COLUMNS = (('axis-0', 'axis-1'), ('row', 'column'), ('y', 'x'))

#: Displacements beyond this many sides of an image are damage, not motion.
LARGEST_DISPLACEMENT = 1e6


def as_array(value: Any, name: str) -> Any:
    """Return arrays unchanged, lazy or not; make others numpy arrays.

    Returns: an array with `shape`, and a numpy `dtype`.
    """
    if isinstance(getattr(value, 'dtype', None), np.dtype):
        return value
    if isinstance(value, (str, os.PathLike)):
        raise InputError(
            f'{name} must be an array of numbers, got the path {value!s}: '
            'read the file first, with skimage.io.imread'
        )
    if value is None:
        raise InputError(f'{name} must be an array of numbers, got None')
    if hasattr(value, 'detach'):
        value = _of_tensor(value)
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        raise InputError(
            f'{name} must be an array of numbers, got a '
            f'{type(value).__name__}, which cannot be made into one'
        ) from None


def _of_tensor(tensor: Any) -> Any:
    """A tensor of torch as numpy can take it, wherever and whatever it is."""
    tensor = tensor.detach().cpu()
    # numpy has no numbers of this kind.
    return tensor.float() if 'bfloat16' in str(tensor.dtype) else tensor


def checked_shape(name: str, shape: Any) -> tuple[int, int]:
    """Rows and columns as two positive ints."""
    try:
        rows, columns = (int(side) for side in shape)
    except (TypeError, ValueError, OverflowError):
        rows = columns = 0
    if not (0 < rows < 2**31 and 0 < columns < 2**31):
        raise InputError(
            f'{name} must be two positive whole numbers, got {shape!r}'
        )
    return rows, columns


def checked_field(name: str, values: Any) -> FloatArray:
    """A displacement field as contiguous float32.

    ``values`` (h, w, 2): what the user gave; must be finite. Returns: (h, w,
    2): contiguous; a copy only where it must be.
    """
    array = np.asarray(values)
    if array.dtype.kind != 'f' or array.ndim != 3 or array.shape[2] != 2:
        raise InputError(
            f'{name} must be float of shape (h, w, 2), got {array.dtype} of '
            f'shape {array.shape}'
        )
    if not array.size:
        raise InputError(f'{name} must have cells, got shape {array.shape}')
    largest = float(np.abs(array).max())
    # Written so that NaN fails.
    if not largest <= LARGEST_DISPLACEMENT:
        raise InputError(
            f'{name} must be finite, in units of the side, got values up to '
            f'{largest:g}'
        )
    return np.ascontiguousarray(array, np.float32)


def checked_confidence(
    name: str, values: Any, shape: tuple[int, ...]
) -> FloatArray:
    """A confidence map as contiguous float32 in [0, 1].

    ``values`` (array_like of float): what came: from 0 to 1, but for rounding.
    ``shape``: the shape it must have. Returns: clipped to 0 to 1.
    """
    array = np.asarray(values)
    if array.dtype.kind != 'f' or array.shape != shape:
        raise InputError(
            f'{name} must be float of shape {shape} like its field, got '
            f'{array.dtype} of shape {array.shape}'
        )
    low, high = float(array.min()), float(array.max())
    # Written so that NaN fails.
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise InputError(
            f'{name} must be from 0 to 1, got {low:g} to {high:g}'
        )
    return np.ascontiguousarray(np.clip(array, 0, 1), np.float32)


def checked_output(
    out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Any:
    """The array to fill: the one that was given, or a new one.

    ``shape``: the shape it must have. Returns: `out`, or a new array where it
    is None.
    """
    if out is None:
        return new_array(shape, dtype)
    # What is assigned to a dask array only makes its graph longer.
    if not hasattr(out, '__setitem__') or hasattr(out, '__dask_graph__'):
        raise InputError(
            f'out must be an array that can be filled, got '
            f'{type(out).__module__}.{type(out).__name__}'
        )
    if tuple(out.shape) != shape or out.dtype != dtype:
        raise InputError(
            f'out must be {dtype} of shape {shape}, got {out.dtype} of '
            f'shape {tuple(out.shape)}'
        )
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise InputError('out must be writeable, got a read-only array')
    return out


def checked_points(points: Any) -> npt.NDArray[np.float64]:
    """Places in an image as float64.

    ``points`` (N, 2): what the user gave; must be finite. Returns: (N, 2): a
    copy only where the type had to change.
    """
    if hasattr(points, 'columns'):
        points = _of_table(points)
    try:
        at = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f'points must be numbers, rows and columns of shape (N, 2), got '
            f'{in_brief(points)}'
        ) from None
    if at.shape == (0,):
        return at.reshape(0, 2)
    if at.ndim != 2 or at.shape[1] != 2:
        hint = ': write one point as [[row, column]]' if at.ndim == 1 else ''
        raise InputError(
            f'points must be rows and columns, of shape (N, 2), got shape '
            f'{at.shape}{hint}'
        )
    if not np.isfinite(at).all():
        raise InputError('points must be finite, got NaN or infinity')
    return at


def _of_table(table: Any) -> Any:
    """Rows and columns of a table of pandas, by the names of its columns.

    Names that are numbers say nothing, and the columns are taken as they are.
    """
    names = list(table.columns)
    for wanted in POINT_COLUMNS:
        if set(wanted) <= set(names):
            return table[list(wanted)]
    if all(isinstance(name, (int, np.integer)) for name in names):
        return table
    raise InputError(
        f'points must have the columns '
        f'{", or ".join(" and ".join(pair) for pair in POINT_COLUMNS)}, got '
        f'{", ".join(map(str, names))}'
    )


def checked_image(
    image: Any, plane: tuple[int, int], side: str
) -> tuple[Any, int | None]:
    """An image of the expected size, and the axis of its channels.

    Returns: ``image``: an array, lazy if it came so; ``channel_axis``: None
    for an image without channels.
    """
    image = as_array(image, 'image')
    if image.dtype.kind not in 'biuf':
        raise InputError(f'image must hold real numbers, got {image.dtype}')
    return image, _channels_around(tuple(image.shape), plane, side)


def _channels_around(
    shape: tuple[int, ...], plane: tuple[int, int], side: str
) -> int | None:
    """Axis of the channels of an image whose plane is known."""
    if shape == plane:
        return None
    if len(shape) == 3 and shape[:2] == plane:
        return 2
    if len(shape) == 3 and shape[1:] == plane:
        return 0
    raise InputError(
        f'image must have the shape of the {side}, {plane}, and perhaps '
        f'channels, got shape {shape}'
    )


def check_share(name: str, value: Any) -> Any:
    """Refuse what is not from 0 to 1, such as a percentage; else return it."""
    if not (isinstance(value, (float, int, np.number)) and 0 <= value <= 1):
        raise InputError(f'{name} must be from 0 to 1, got {value!r}')
    return value


def check_count(name: str, value: Any) -> None:
    """Refuse what is no whole number from 1 on."""
    if not (isinstance(value, (int, np.integer)) and value >= 1):
        raise InputError(
            f'{name} must be a whole number of at least 1, got {value!r}'
        )


def listed(name: str, given: Any) -> list[Any]:
    """Whatever holds several things, as a list of them."""
    try:
        return list(given)
    except TypeError:
        raise InputError(
            f'{name} must be a list, with an entry for each annotated image, '
            f'got {given!r}'
        ) from None


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False: a word would count as True."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f'{name} must be True or False, got {value!r}')


def check_function(name: str, value: Any) -> None:
    """Refuse what cannot be called, before the work and not after it."""
    if value is not None and not callable(value):
        raise InputError(f'{name} must be a function or None, got {value!r}')


def check_fill(fill: Any, dtype: np.dtype[Any]) -> None:
    """Refuse a value that an image of a type cannot hold."""
    kind = dtype.kind
    fits = isinstance(fill, (float, int, np.number, np.bool_))
    if fits and kind == 'b':
        fits = fill in (0, 1)
    elif fits and kind in 'iu':
        about = np.iinfo(dtype)
        fits = about.min <= fill <= about.max and fill == int(fill)
    if not fits:
        raise InputError(
            f'fill must be a number that {dtype} holds, got {fill!r}'
        )


def check_transferred(image: Any, shape: tuple[int, int]) -> None:
    """Refuse a transferred image that is not on the source's grid."""
    sides = tuple(image.shape)
    planes = [sides]
    if len(sides) == 3:
        planes = [sides[:k] + sides[k + 1 :] for k in range(3)]
    if shape not in planes or image.dtype.kind not in 'biuf':
        raise InputError(
            f'transferred must hold real numbers in the shape of the source, '
            f'{shape}, got {image.dtype} of shape {sides}'
        )


def is_marked(mask: Any, name: str) -> Any:
    """Where a mask is not 0; NaN is nothing, as in masks of other programs.

    Raises InputError if it does not hold numbers.
    """
    if mask.dtype.kind not in 'biuf':
        raise InputError(
            f'{name} must be a mask of bool or numbers, got {mask.dtype}'
        )
    there = mask != 0
    # Only NaN differs from itself.
    return there & (mask == mask) if mask.dtype.kind == 'f' else there


def check_labels(name: str, labels: Any, shape: tuple[int, int]) -> None:
    """Refuse labels that are not whole numbers on the expected grid."""
    if labels.dtype.kind not in 'biu':
        hint = ': use .astype(int)' if labels.dtype.kind == 'f' else ''
        raise InputError(
            f'{name} must be integer or bool, got {labels.dtype}{hint}'
        )
    if tuple(labels.shape) != shape:
        given = tuple(labels.shape)
        raise InputError(
            f'{name} must have the shape of their image, {shape}, got '
            f'{given}{_why_other(given, shape)}'
        )


def _why_other(given: tuple[int, ...], shape: tuple[int, int]) -> str:
    """What to do with labels of another shape than their image."""
    if len(given) != 2:
        return ': give one plane of rows and columns'
    if given == shape[::-1]:
        return ': rows and columns are exchanged, transpose or turn them'
    # Whole pixels: the shorter side may be off by half of one.
    ratio = given[0] / shape[0]
    if min(given) and abs(given[1] - ratio * shape[1]) <= max(1, ratio):
        return (
            ': they are of another resolution, resize them to the image '
            'without interpolation'
        )
    return ': were they drawn on another image, or on a part of this one?'
