"""Reading lists of pairs: CSV files with the columns of each protocol.

Further columns are ignored, so that one file serves several protocols, and
every complaint names the file and the line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError, cannot
from napari_samnet.io.csv_lines import place_of, read_csv

#: Other names under which published lists carry a column.
ALIASES: dict[str, tuple[str, ...]] = {
    'source': ('source_image', 'content'),
    'target': ('target_image', 'style'),
    'category': ('class',),
    'source_mask': ('content_label',),
    'target_mask': ('style_label',),
}


@dataclass(frozen=True)
class Row:
    """One line of a list, which knows where it stands."""

    #: Text of each column by the name in the first line.
    values: Mapping[str, str]
    #: File and number of the line, for messages.
    where: str

    def get(self, name: str) -> str:
        """Value of a column or of its alias; '' where there is none."""
        header = list(self.values)
        for known in (name, *ALIASES.get(name, ())):
            place = place_of(header, known)
            if place is not None and self.values[header[place]]:
                return self.values[header[place]]
        return ''

    def need(self, name: str) -> str:
        """Value of a column that must not be empty."""
        value = self.get(name)
        if not value:
            raise InputError(f'{self.where}: {name} is empty')
        return value

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Semicolon-separated numbers of a column."""
        text = self.need(name)
        try:
            return np.array([float(part) for part in text.split(';')])
        except ValueError:
            raise InputError(
                f'{self.where}: {name} must be numbers separated by '
                f'semicolons, got {text[:40]!r}'
            ) from None

    def shape(self, width: str, height: str) -> tuple[int, int] | None:
        """Rows and columns from two columns, or None where left out."""
        if not self.get(width) or not self.get(height):
            return None
        sides = (self.numbers(height), self.numbers(width))
        if any(side.size != 1 or side[0] < 1 for side in sides):
            raise InputError(
                f'{self.where}: {width} and {height} must be one positive '
                f'number each'
            )
        return int(sides[0][0]), int(sides[1][0])


@dataclass(frozen=True)
class ImageFile:
    """A single photograph of a list."""

    #: File that holds it.
    file: Path
    #: As the list writes it.
    name: str
    #: Group of its scores; '' if the list has none.
    category: str


@dataclass(frozen=True)
class KeypointPair:
    """Two images and the same points in both."""

    #: Name of the pair in reports.
    name: str
    #: Group of its scores; '' if the list has none.
    category: str
    #: ``source``, ``target``: files of the two images.
    source: Path
    target: Path
    #: ``source_points``, ``target_points``: (N, 2), row and column in pixels
    #: of an image of the shape below.
    source_points: NDArray[np.float64]
    target_points: NDArray[np.float64]
    #: ``source_shape``, ``target_shape``: rows and columns that the points
    #: belong to; None for those of the files.
    source_shape: tuple[int, int] | None = None
    target_shape: tuple[int, int] | None = None
    #: ``target_box``, ``source_box``: x0, y0, x1, y1 of the object in the same
    #: pixels; None if the list has none.
    target_box: tuple[float, float, float, float] | None = None
    source_box: tuple[float, float, float, float] | None = None
    #: Where the list names it, for messages.
    where: str = field(default='', compare=False)


@dataclass(frozen=True)
class MaskPair:
    """Two images and a mask or label map of each."""

    #: Name of the pair in reports.
    name: str
    #: Group of its scores; '' if the list has none.
    tag: str
    #: ``source``, ``target``: files of the two images.
    source: Path
    target: Path
    #: ``source_mask``, ``target_mask``: files of their masks or label maps.
    source_mask: Path
    target_mask: Path
    #: Where the list names it, for messages.
    where: str = field(default='', compare=False)


def read_rows(path: Path, required: Sequence[str]) -> Iterator[Row]:
    """Rows of a CSV file that has the required columns.

    ``required``: columns that must be there, by their own name or an alias.
    Yields: one per line; empty lines are left out.
    Raises InputError if the file is missing, is not text, lacks a column, has
    no rows, or a line has another number of values than there are columns.
    """
    if path.is_dir():
        raise InputError(
            f'{path} is a folder, expected a CSV file with the columns '
            f'{", ".join(required)}'
        )
    try:
        content = read_csv(path)
    except OSError as error:
        raise cannot(f'read the list {path}', error) from None
    header = content.header
    missing = [
        name
        for name in required
        if all(
            place_of(header, known) is None
            for known in (name, *ALIASES.get(name, ()))
        )
    ]
    if missing:
        raise InputError(
            f'{path} must have a first line with the names of the columns: '
            f'{", ".join(required)}; it lacks {", ".join(missing)} and '
            f'begins with {content.shown_header}'
        )
    if len(content.lines) < 2:
        raise InputError(f'{path} lists no pairs')
    for number, cells in content.lines[1:]:
        where = f'{path}, line {number}'
        if len(cells) != len(header):
            raise InputError(
                f'{where}: expected {len(header)} values, got {len(cells)}'
            )
        values = (cell.strip() for cell in cells)
        yield Row(dict(zip(header, values, strict=True)), where)


def first_below(root: Path, names: Sequence[str]) -> Path | None:
    """Return the first file or folder of these names that exists."""
    places = (root / name for name in names)
    return next((place for place in places if place.exists()), None)


def absent(root: Path, what: str, names: Sequence[str]) -> InputError:
    """Error that says where a data set was looked for."""
    return InputError(
        f'{root} does not hold {what}: expected one of {", ".join(names)}'
    )


def resolve(root: Path, file: str, where: str) -> Path:
    """Path of a listed file, which must exist."""
    path = root / file
    if not path.is_file():
        raise InputError(f'{where}: there is no file {path}')
    return path


def read_images(path: Path, root: Path) -> list[ImageFile]:
    """Photographs of a list with the column ``file``.

    ``category``, where there is one, becomes the group of the scores.
    """
    return [
        ImageFile(
            resolve(root, row.need('file'), row.where),
            row.need('file'),
            row.get('category'),
        )
        for row in read_rows(path, ('file',))
    ]


def read_mask_pairs(path: Path, root: Path) -> list[MaskPair]:
    """Pairs of a list with ``source, target, source_mask, target_mask``.

    ``tag`` or else ``category`` becomes the group of the scores.
    """
    required = ('source', 'target', 'source_mask', 'target_mask')
    pairs = []
    for row in read_rows(path, required):
        source, target, source_mask, target_mask = (
            resolve(root, row.need(name), row.where) for name in required
        )
        pairs.append(
            MaskPair(
                f'{source.stem}-{target.stem}',
                row.get('tag') or row.get('category'),
                source,
                target,
                source_mask,
                target_mask,
                where=row.where,
            )
        )
    return pairs


def _wide_points(row: Row, cells: Sequence[str]) -> list[NDArray[np.float64]]:
    try:
        numbers = np.array([float(cell) for cell in cells])
    except ValueError:
        raise InputError(f'{row.where}: coordinates must be numbers') from None
    return list(numbers.reshape(4, -1))


def _box(row: Row, name: str) -> tuple[float, float, float, float] | None:
    if not row.get(name):
        return None
    box = row.numbers(name)
    if box.size != 4:
        raise InputError(
            f'{row.where}: {name} must be x0;y0;x1;y1, got {box.size} numbers'
        )
    return (box[0], box[1], box[2], box[3])


def _points(
    row: Row, coordinates: Sequence[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row, column points of both images that are marked in both."""
    sizes = {part.size for part in coordinates}
    if len(sizes) > 1:
        raise InputError(
            f'{row.where}: XA, YA, XB, YB must be equally many numbers, got '
            f'{", ".join(str(part.size) for part in coordinates)}'
        )
    xa, ya, xb, yb = coordinates
    points = np.stack([ya, xa, yb, xb], axis=1)
    # Lists pad absent points with -1 or nan; neither may enter a box.
    absent = (points[:, 0::2] == -1) & (points[:, 1::2] == -1)
    points = points[~absent.any(axis=1) & np.isfinite(points).all(axis=1)]
    if not len(points):
        raise InputError(f'{row.where}: no point is marked in both images')
    return points[:, :2], points[:, 2:]


def _reader(path: Path) -> Callable[[Row], list[NDArray[np.float64]]]:
    """How a list writes its points: four columns, or one per number."""
    for row in read_rows(path, ()):
        if {'XA', 'YA', 'XB', 'YB'} <= set(row.values):
            return lambda row: [
                row.numbers(name) for name in ('XA', 'YA', 'XB', 'YB')
            ]
        first = list(row.values)
        if len(first) > 2 and (len(first) - 2) % 4 == 0:
            return lambda row: _wide_points(row, list(row.values.values())[2:])
        break
    raise InputError(
        f'{path}: needs the columns source, target, XA, YA, XB, YB, or two '
        f'file columns followed by all x, then all y, of both images'
    )


def read_keypoint_pairs(path: Path, root: Path) -> list[KeypointPair]:
    """Pairs of a list with ``source, target, XA, YA, XB, YB``.

    Coordinates are semicolon-separated pixels; A is the source. Understood
    further: ``pair_id``, ``category``, ``src_w, src_h, trg_w, trg_h`` (size
    that the coordinates belong to), ``src_bbox, trg_bbox``. Lists that write
    every coordinate into a column of its own, after two columns of file
    names, are read as well.
    """
    read = _reader(path)
    pairs = []
    for number, row in enumerate(read_rows(path, ())):
        names = list(row.values.values())[:2]
        files = [row.get('source') or names[0], row.get('target') or names[1]]
        source, target = (resolve(root, name, row.where) for name in files)
        source_points, target_points = _points(row, read(row))
        pairs.append(
            KeypointPair(
                row.get('pair_id') or f'{number}',
                row.get('category'),
                source,
                target,
                source_points,
                target_points,
                source_shape=row.shape('src_w', 'src_h'),
                target_shape=row.shape('trg_w', 'trg_h'),
                target_box=_box(row, 'trg_bbox'),
                source_box=_box(row, 'src_bbox'),
                where=row.where,
            )
        )
    return pairs


@dataclass(frozen=True)
class FlowPair:
    """A folder of the kit: two images, masks, and flows both ways."""

    #: Part of the kit, such as 'JODS'.
    group: str
    #: Name of the pair in its group.
    name: str
    #: Holds image1.png, image2.png and their flows.
    folder: Path

    @property
    def flipped(self) -> bool:
        """Whether the object faces the other way in the second image."""
        file = self.folder / 'flip_gt.txt'
        return file.is_file() and file.read_text().strip() == '1'


def fit_points(
    points: NDArray[np.float64],
    listed: tuple[int, int] | None,
    shape: tuple[int, ...],
    where: str,
) -> NDArray[np.float64]:
    """Points of the listed image size, moved to the size of the file.

    Raises InputError if the sizes have another ratio of sides.
    """
    if listed is None or listed == shape[:2]:
        return points
    scale = np.array(shape[:2]) / np.array(listed)
    # One pixel of rounding is allowed on either side.
    if abs(scale[0] / scale[1] - 1) > 2 / min(*listed, *shape[:2]):
        raise InputError(
            f'{where}: the points belong to an image of {listed[1]}x'
            f'{listed[0]} pixels, the file has {shape[1]}x{shape[0]}'
        )
    return (points + 0.5) * scale - 0.5
