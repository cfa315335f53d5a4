"""What is said of each plane of a film, as a table and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_samnet.outputs.written import WrittenFiles
    from napari_samnet.series.verdicts import PlaneReport

#: Names of the files, for people and for programs.
REPORTS = ('report.csv', 'report.json')


def records_of(
    names: Sequence[str],
    images: Sequence[str],
    reports: Mapping[int, PlaneReport],
    labeled: Collection[int],
) -> list[dict[str, Any]]:
    """What is said of each plane that was visited, in the order of the film.

    ``names``, ``images``: files of the labels and of the image of all planes.
    ``labeled``: planes that have a file of labels.
    """
    return [
        {
            'file': names[index] if index in labeled else '',
            'image': images[index],
            **reports[index].as_dict(),
        }
        for index in sorted(reports)
    ]


def write_report(
    ours: WrittenFiles, records: list[dict[str, Any]], images: Sequence[str]
) -> None:
    """Write both files.

    What an earlier run has said of planes that this one did not visit stays,
    as their labels do.

    ``images``: file of the image of each plane.
    """
    from napari_samnet.files import write_text
    from napari_samnet.series.verdicts import PlaneReport

    visited = {record['index'] for record in records}
    records = sorted(
        (
            *records,
            *(
                record
                for record in _earlier(ours, images)
                if record['index'] not in visited
            ),
        ),
        key=lambda record: int(record['index']),
    )
    columns = ['file', 'image', *(field.name for field in fields(PlaneReport))]
    table = io.StringIO()
    writer = csv.DictWriter(
        table, columns, lineterminator='\n', extrasaction='ignore'
    )
    writer.writeheader()
    for record in records:
        missing = ' '.join(map(str, record['missing']))
        writer.writerow({**record, 'missing': missing})
    texts = (table.getvalue(), json.dumps(records, indent=2) + '\n')
    for name, text in zip(REPORTS, texts, strict=True):
        write_text(ours.folder / name, text)
        ours.note(name)


def _earlier(
    ours: WrittenFiles, images: Sequence[str]
) -> list[dict[str, Any]]:
    """What an earlier run has said of planes whose labels are still there."""
    file = ours.folder / REPORTS[1]
    if not ours.is_ours(REPORTS[1]):
        return []
    try:
        records = json.loads(file.read_text(encoding='utf-8'))
        return [
            record
            for record in records
            if images[record['index']] == record['image']
            and record['file']
            and ours.is_ours(record['file'])
        ]
    except (OSError, ValueError, LookupError, TypeError):
        return []
