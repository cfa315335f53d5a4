"""A look: a change of color that is fitted once and applied to many images.

:mod:`.transfer` fits colors place by place, which is right for one pair. In
stain and color work one reference serves hundreds of images, which need not
be matched with it: there a color should become the same color everywhere. A
look is such a change, a mixture of affine maps of color, one for each of a
few classes of alike colors. It is ours, not the paper's.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.brief import brief
from napari_samnet.arrays.checks import as_array, check_share
from napari_samnet.arrays.tiles import run_tiles
from napari_samnet.color.classes import ColorClasses, class_maps
from napari_samnet.errors import InputError, cannot
from napari_samnet.files import as_path, as_path_with, atomic_write
from napari_samnet.images.plane import Plane

Array = npt.NDArray[np.float64]
FORMAT = 'napari-samnet-look-1'

#: Classes of alike colors.
CLASSES = 8

#: Rounds of reweighting, and the color error at which a pixel counts half.
ROUNDS = 3
MISMATCH = 0.1

#: Glass of a slide: all channels above this. Pixels fade into it over FADE.
GLASS = 0.88
FADE = 0.06

#: Mean weight of a class of colors up to which it does not change, and from
#: which it changes in full: unlike scenes give no tint without evidence.
DOUBTFUL, CERTAIN = 0.2, 0.5

#: Share of the weight that must lie on pixels that are not glass, in both
#: images, for there to be a look to learn.
LEAST_CONTENT = 0.02


@dataclass(frozen=True, eq=False)
class Look:
    """A change of color, the same for every image.

    Made by :func:`napari_samnet.learn_look` or read by :meth:`load`.

    Parameters
    ----------
    classes : ColorClasses
        Classes of alike colors of the image that it was learnt from.
    maps : ndarray of float64, shape (K, 4, 3)
        Affine map of color of each class: ``[r, g, b, 1] @ map``.
    glass : bool
        Leave pixels that are nearly white in all channels as they are, byte
        by byte, such as the glass of a slide.
    notes : tuple of str
        What the user should know of how it was learnt.
    """

    __repr__ = brief

    classes: ColorClasses
    maps: Array
    glass: bool = False
    notes: tuple[str, ...] = ()

    def apply(
        self,
        image: Any,
        *,
        strength: float = 1.0,
        where: Any = None,
        channel_axis: int | None = None,
        contrast_limits: tuple[float, float] | None = None,
    ) -> npt.NDArray[Any]:
        """Give an image this look.

        Parameters
        ----------
        image : array_like
            Gray, RGB, RGBA or with several channels, of any size; see
            :func:`napari_samnet.match`. Read in bands of rows.
        strength : float
            0 changes nothing, 1 gives the whole look; between, the change is
            that share of it.
        where : array_like of bool, shape (rows, columns), optional
            Pixels that may change, such as ``labels == 2`` or
            ``labels == 0``; all by default.
        channel_axis : int, optional
            Axis of the channels, where it is not the last of an RGB image.
        contrast_limits : tuple of float, optional
            Values that are black and white, by default the image's range.

        Returns
        -------
        ndarray
            Shape and number type of `image`; pixels that may not change are
            the same to the last bit.

        Raises
        ------
        InputError
            If the image or `where` cannot be used, or the strength is not
            from 0 to 1.
        """
        check_share('strength', strength)
        plane = Plane.of(
            image,
            name='image',
            channel_axis=channel_axis,
            contrast_limits=contrast_limits,
        )
        allowed = None
        if where is not None:
            allowed = as_array(where, 'where')
            if tuple(allowed.shape) != plane.shape:
                raise InputError(
                    f'where must have the shape of the image, {plane.shape}, '
                    f'got {tuple(allowed.shape)}'
                )
        out, pixels = plane.empty()
        _ = plane.limits  # known before the threads ask for it

        def work(rows: slice) -> None:
            before = plane.rgb_rows(rows)
            share = strength * self._share(before)
            if allowed is not None:
                share *= np.asarray(allowed[rows], bool)
            original = plane.rows(rows)
            changed = share > 0
            # What numbers do not say has no color, and stays.
            if plane.dtype.kind == 'f':
                changed &= np.isfinite(original).all(axis=-1)
            pixels[rows] = original
            if not changed.any():
                return
            after = before + share[..., None] * (self._colors(before) - before)
            moved = plane.with_colors(
                rows, np.clip(after, 0, 1, dtype=np.float32)
            )
            np.copyto(pixels[rows], moved, where=changed[..., None])

        run_tiles(work, plane.bands())
        return out

    def _share(self, colors: npt.NDArray[np.floating]) -> Array:
        """How much of the change each pixel gets, (h, w)."""
        if not self.glass:
            return np.ones(colors.shape[:2])
        darkest = colors.min(axis=-1).astype(np.float64)
        return np.clip((GLASS - darkest) / FADE, 0, 1)

    def _colors(self, colors: npt.NDArray[np.floating]) -> Array:
        """Colors (..., 3) in this look, not clipped."""
        share = self.classes.shares(colors)
        ones = np.ones_like(colors[..., :1])
        one = np.concatenate([colors, ones], axis=-1).astype(np.float64)
        return np.asarray(
            np.einsum('...c,...k,kcd->...d', one, share, self.maps)
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the look; the file appears whole or not at all.

        Parameters
        ----------
        path : path-like
            JSON file; an existing one is replaced.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        content = {
            'format': FORMAT,
            'centers': self.classes.centers.tolist(),
            'width': self.classes.width,
            'maps': self.maps.tolist(),
            'glass': self.glass,
            'notes': list(self.notes),
        }
        with atomic_write(as_path_with(path, '.json')) as file:
            file.write((json.dumps(content, indent=1) + '\n').encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Look:
        """Read a look that :meth:`save` has written.

        Parameters
        ----------
        path : path-like
            The file. Nothing in it is run, so that it may come from anyone.

        Returns
        -------
        Look
            Ready to be applied.

        Raises
        ------
        InputError
            If the file cannot be read or holds something else.
        """
        file = as_path(path)
        name = file.name
        try:
            content = json.loads(file.read_text(encoding='utf-8'))
        except OSError as error:
            raise cannot(f'read {name}', error) from None
        except ValueError:
            # A picture, or the file of another program.
            content = None
        if not isinstance(content, dict) or content.get('format') != FORMAT:
            raise InputError(
                f'{name} is no look: expected a JSON file that Look.save or '
                '"look learn" has written'
            )
        try:
            centers = np.array(content['centers'], np.float64)
            maps = np.array(content['maps'], np.float64)
            width = float(content['width'])
            notes = tuple(str(note) for note in content['notes'])
            glass = bool(content['glass'])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f'{name} is damaged: {error}') from error
        count = centers.size // 3
        sound = (
            centers.shape == (count, 3)
            and maps.shape == (count, 4, 3)
            and 0 < count <= 64
            and np.isfinite(centers).all()
            and np.isfinite(maps).all()
            and 0 < width < np.inf
        )
        if not sound:
            raise InputError(
                f'{name} is damaged: centers must have shape (K, 3) and maps '
                f'(K, 4, 3), all finite, got {centers.shape} and {maps.shape}'
            )
        return cls(ColorClasses(centers, width), maps, glass, notes)


def fit_look(
    before: npt.ArrayLike, after: npt.ArrayLike, weight: npt.ArrayLike
) -> Look:
    """Fit a look to pixels that belong together.

    ``before``, ``after`` (h, w, 3): the source, and the target's colors at the
    same places, in [0, 1].
    ``weight`` (h, w): how sure it is that both show the same, from 0 to 1.
    Colors that are nowhere sure keep what they are.
    Returns: no change, with a note, where the two have nothing to tell.
    Raises InputError if the shapes do not fit.
    """
    first = np.asarray(before, np.float64)
    second = np.asarray(after, np.float64)
    share = np.asarray(weight, np.float64)
    fits = first.ndim == 3 and first.shape[2] == 3 and first.size
    if not fits or first.shape != second.shape:
        raise InputError(
            f'before and after must have one shape (h, w, 3), got '
            f'{first.shape} and {second.shape}'
        )
    if share.shape != first.shape[:2]:
        raise InputError(
            f'weight must have shape {first.shape[:2]}, got {share.shape}'
        )
    finite = np.isfinite(first).all(-1) & np.isfinite(second).all(-1)
    share = np.where(finite & np.isfinite(share), share, 0).clip(0)
    first, second = (np.nan_to_num(x).clip(0, 1) for x in (first, second))
    content = [x.min(axis=-1) < GLASS for x in (first, second)]
    both_glass = ~content[0] & ~content[1]
    total = share.sum()
    amount = [float((share * x).sum() / max(total, 1e-9)) for x in content]
    if total <= 0 or min(amount) < LEAST_CONTENT:
        names = [
            name
            for name, x in zip(('source', 'target'), amount, strict=True)
            if total <= 0 or x < LEAST_CONTENT
        ]
        note = (
            f'no look was learnt: nothing but white was matched in the '
            f'{" and the ".join(names)}'
        )
        return _unchanged((note,))
    glass = bool((share * both_glass).sum() > 0.02 * total)
    if glass:
        share = np.where(both_glass, 0, share)
    classes = ColorClasses.of(first, count=CLASSES)
    member = classes.shares(first)
    if glass:
        member = np.where(both_glass[..., None], 0, member)
    maps, wrong = _unchanged(()).maps, np.zeros(share.shape)
    for _ in range(ROUNDS):
        maps = _fit_maps(first, second, member, share / (1 + wrong))
        ones = np.ones_like(first[..., :1])
        one = np.concatenate([first, ones], axis=-1)
        error = np.einsum('hwc,hwk,kcd->hwd', one, member, maps) - second
        wrong = np.square(error).sum(axis=-1) / MISMATCH**2
    evidence = np.einsum('hwk,hw->k', member, share) / (
        member.sum(axis=(0, 1)) + 1e-9
    )
    certainty = np.clip((evidence - DOUBTFUL) / (CERTAIN - DOUBTFUL), 0, 1)
    still = np.eye(4, 3)
    return Look(
        classes, still + certainty[:, None, None] * (maps - still), glass
    )


def _unchanged(notes: tuple[str, ...]) -> Look:
    """No change of any color."""
    return Look(
        ColorClasses(np.full((1, 3), 0.5), 1.0),
        np.eye(4, 3)[None],
        notes=notes,
    )


def _fit_maps(
    before: Array, after: Array, member: Array, share: Array
) -> Array:
    """Affine map (K, 4, 3) of each class, by the pixels that belong to it."""
    one = np.concatenate([before, np.ones_like(before[..., :1])], axis=-1)
    weight = share / max(float(share.mean()), 1e-12)
    both = np.concatenate([one, after], axis=-1)
    moments = np.einsum(
        'hwk,hw,hwc,hwd->kcd', member, weight, one, both, optimize=True
    )
    return class_maps(moments / share.size)
