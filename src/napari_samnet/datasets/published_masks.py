"""Published sets of pairs with masks: a list of pairs, or their folders."""

from __future__ import annotations

from pathlib import Path

from napari_samnet.datasets.pair_lists import (
    MaskPair,
    absent,
    first_below,
    read_mask_pairs,
)
from napari_samnet.datasets.sequences import read_sequences
from napari_samnet.errors import InputError


def weizmann(root: Path) -> list[MaskPair]:
    """Weizmann horses.

    Without a list, every image whose number is divisible by 5 is paired with
    the next four of these, in the authors' folders (``rgb`` and
    ``figure_ground``) or in ``horse`` and ``mask``.
    """
    lists = ('manifests/weizmann_mask_pairs.csv',)
    listed = first_below(root, lists)
    if listed is not None:
        return read_mask_pairs(listed, root)
    layouts = (
        ('rgb', 'figure_ground'),
        ('horse', 'mask'),
        ('images', 'masks'),
    )
    for top in (root, root / 'weizmann_horse_db'):
        for images, masks in layouts:
            if (top / images).is_dir() and (top / masks).is_dir():
                return _horses(top / images, top / masks)
    raise absent(
        root,
        'Weizmann horses',
        (*lists, *(f'{images} and {masks}' for images, masks in layouts)),
    )


def _horses(images: Path, masks: Path) -> list[MaskPair]:
    test = []
    for image in sorted(images.iterdir()):
        number = ''.join(char for char in image.stem if char.isdigit())
        mask = first_below(
            masks, [f'{image.stem}{end}' for end in ('.png', '.jpg', '.bmp')]
        )
        if number and int(number) % 5 == 0 and mask is not None:
            test.append((image, mask))
    pairs = []
    for index, (source, source_mask) in enumerate(test):
        for step in range(1, min(5, len(test))):
            target, target_mask = test[(index + step) % len(test)]
            pairs.append(
                MaskPair(
                    f'{source.stem}-{target.stem}',
                    'any',
                    source,
                    target,
                    source_mask,
                    target_mask,
                    where=str(images),
                )
            )
    if not pairs:
        raise InputError(f'{images} holds no two images with masks')
    return pairs


def photo_style(root: Path) -> list[MaskPair]:
    """Pairs of photographs with label maps of nine colors."""
    lists = ('manifests/photo_style_pairs.csv',)
    listed = first_below(root, lists)
    if listed is None:
        raise absent(root, 'photo-style pairs', lists)
    return read_mask_pairs(listed, root)


def davis(root: Path) -> list[MaskPair]:
    """Film frames: the first frame of each sequence and its later ones.

    Without a list of ours, the sequences of DAVIS 2016 are read as its
    authors distribute them, see :func:`read_sequences`.

    ``root``: folder that holds ``manifests/davis16_mask_pairs.csv`` or the
    sequences. Raises InputError if neither is there.
    """
    lists = ('manifests/davis16_mask_pairs.csv',)
    listed = first_below(root, lists)
    if listed is not None:
        return read_mask_pairs(listed, root)
    return [
        MaskPair(
            f'{film.name}-{frame.stem}',
            film.name,
            film.frames[0],
            frame,
            film.masks[0],
            mask,
            where=film.where,
        )
        for film in read_sequences(root)
        for frame, mask in zip(film.frames[1:], film.masks[1:], strict=True)
    ]
