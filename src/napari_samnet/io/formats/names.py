"""Names of the formats of other programs, which help texts show."""

from __future__ import annotations

#: Endings of the files that are written, by the name of the format.
FORMATS: dict[str, str] = {
    'coco': '.coco.json',
    'labelme': '.json',
    'yolo': '.txt',
    'geojson': '.geojson',
    'roi': '.zip',
    'ome-zarr': '.ome.zarr',
}

#: Names of YOLO's classes, in the folder of its labels; one a line.
CLASSES = 'classes.txt'
