"""How large a pixel is, as far as the file of an image says."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import tifffile

#: Micrometers of the units that files use.
_MICROMETERS = {
    'nm': 1e-3,
    'um': 1.0,
    'µm': 1.0,
    'μm': 1.0,
    'micron': 1.0,
    'microns': 1.0,
    'mm': 1e3,
    'cm': 1e4,
}


def read_pixel_size(path: str | os.PathLike[str]) -> float | None:
    """Read the side of a pixel of a TIFF file of a microscope or scanner.

    Returns: micrometers: of OME's or ImageJ's metadata, of slide scanners that
    write ``MPP``, or of the resolution where it is one of a microscope; None
    where the file does not say.
    """
    file = Path(path)
    try:
        with tifffile.TiffFile(file) as content:
            return _of_tiff(content)
    except Exception:  # noqa: BLE001
        # Other kinds of files say nothing that can be relied on.
        return None


def _of_tiff(content: tifffile.TiffFile) -> float | None:
    page = content.pages.first
    text = page.description
    ome = re.search(r'PhysicalSizeX="([0-9.eE+-]+)"', text)
    if ome:
        unit = re.search(r'PhysicalSizeXUnit="([^"]+)"', text)
        factor = _MICROMETERS.get(unit[1] if unit else 'um')
        return None if factor is None else float(ome[1]) * factor
    scanner = re.search(r'\bMPP\s*=\s*([0-9.]+)', text)
    if scanner:
        return float(scanner[1])
    per_unit = _ratio(page.tags.valueof(282, None))
    if not per_unit:
        return None
    about = content.imagej_metadata or {}
    name = str(about.get('unit', '')).replace('\\u00B5', 'µ')
    if name in _MICROMETERS:
        return _MICROMETERS[name] / per_unit
    # Prints and cameras write dots per inch; microscopes pixels per cm.
    if int(page.tags.valueof(296, 1)) == 3 and per_unit > 1000:
        return 1e4 / per_unit
    return None


def _ratio(value: Any) -> float:
    if not isinstance(value, tuple) or len(value) != 2 or not value[1]:
        return 0.0
    return float(value[0]) / float(value[1])
