"""Pairs with dense flow, as the TSS kit distributes them."""

from __future__ import annotations

import json
from pathlib import Path

from napari_samnet.datasets.pair_lists import (
    FlowPair,
    first_below,
    read_rows,
)
from napari_samnet.errors import InputError, cannot

GROUPS = ('FG3DCar', 'JODS', 'PASCAL')


def read_flow_pairs(root: Path, pairs: Path | None = None) -> list[FlowPair]:
    """Pairs of the TSS kit: ``<group>/<pair>/image1.png, flow1.flo, ...``.

    ``root``: folder of the groups, or one that holds it as ``Dataset``,
    ``TSS``, ``TSS_CVPR2016``, ``tss-sample`` or ``eval/tss-sample``.
    ``pairs``: JSON list of objects with ``group`` and ``name``, or CSV file
    with these columns. By default every folder with two images.
    """
    places = (
        'Dataset',
        'TSS',
        'TSS_CVPR2016',
        'tss-sample',
        'eval/tss-sample',
    )
    top = root
    if not any((root / group).is_dir() for group in GROUPS):
        top = first_below(root, places) or root
    if pairs is not None:
        return [
            FlowPair(group, name, _folder(top, group, name, pairs))
            for group, name in _listed(pairs)
        ]
    folders = [
        FlowPair(path.parent.parent.name, path.parent.name, path.parent)
        for path in sorted(top.glob('*/*/image1.png'))
        if (path.parent / 'image2.png').is_file()
    ]
    if not folders:
        raise InputError(
            f'{root} does not hold the TSS kit: expected folders '
            f'<group>/<pair> with image1.png, image2.png, flow1.flo or .npz, '
            f'flow2.flo or .npz'
        )
    return folders


def _listed(path: Path) -> list[tuple[str, str]]:
    if path.suffix.lower() != '.json':
        return [
            (row.need('group'), row.need('name'))
            for row in read_rows(path, ('group', 'name'))
        ]
    try:
        entries = json.loads(path.read_text(encoding='utf-8'))
        return [(str(item['group']), str(item['name'])) for item in entries]
    except OSError as error:
        raise cannot(f'read the list of pairs {path}', error) from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f'{path} must be a JSON list of objects with group and name'
        ) from None


def _folder(top: Path, group: str, name: str, where: Path) -> Path:
    folder = top / group / name
    if not folder.is_dir():
        raise InputError(f'{where}: there is no folder {folder}')
    return folder
