"""Which layers a run may write to: its own, if nobody edited them since.

When a result is written, the identity of its layer and a fingerprint of its
content go into the layer's metadata. A layer is updated by a later run only
if both still agree. A duplicate has another identity, and what was painted,
moved, colored or renamed in a table has another fingerprint: such layers
belong to the user.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.plugin.model.capture import METADATA, kind_of
from napari_samnet.plugin.model.grids import Index, grid_of, index_key

#: What counts as an edit, by kind. The look of images and arrows does not:
#: an update leaves it as it is.
CONTENT: dict[str, tuple[str, ...]] = {
    'labels': ('features',),
    'points': (
        'features',
        'size',
        'symbol',
        'border_width',
        'border_color',
        'face_color',
        'shown',
    ),
    'shapes': (
        'features',
        'shape_type',
        'edge_width',
        'edge_color',
        'face_color',
        'z_index',
    ),
    'vectors': ('features',),
    'image': (),
}


def about_layer(layer: Any) -> Mapping[str, Any]:
    """Our part of a layer's metadata, empty where the layer is not ours."""
    about = layer.metadata.get(METADATA, {})
    return about if isinstance(about, Mapping) else {}


def fingerprint(layer: Any) -> str:
    """Hash of the content of a layer.

    ``layer`` (napari layer): Labels, Points, Shapes, Vectors or Image in
    memory.
    Returns: changes with any value of the data, the features and, for
    annotations, the colors; not with name, opacity or selection.
    """
    digest = hashlib.sha1(usedforsecurity=False)
    kind = kind_of(layer)
    parts = layer.data if kind == 'shapes' else [layer.data]
    for part in parts:
        _add_array(digest, part)
    for name in CONTENT.get(kind, ()):
        _add_value(digest, name, getattr(layer, name))
    if kind == 'labels':
        _add_colors(digest, layer.colormap)
    return digest.hexdigest()


def _add_array(digest: Any, values: Any) -> None:
    array = np.ascontiguousarray(values)
    digest.update(f'{array.shape}{array.dtype.str}'.encode())
    if array.dtype.kind == 'O':
        digest.update(repr(array.tolist()).encode())
    else:
        # Three times as fast as the hash, and the window waits for it.
        flat = array.reshape(-1).view(np.uint8).data
        digest.update(zlib.crc32(flat).to_bytes(4, 'big'))


def _add_value(digest: Any, name: str, value: Any) -> None:
    digest.update(name.encode())
    if name == 'features':
        # What a table shows, whatever the types of its columns.
        digest.update(repr(value.to_dict('list')).encode())
    else:
        _add_array(digest, value)


def _add_colors(digest: Any, colormap: Any) -> None:
    """Add the colors of labels, but not which label is shown alone."""
    table = getattr(colormap, 'color_dict', None)
    if table is None:
        _add_array(digest, colormap.colors)
        return
    for key in sorted(table, key=str):
        digest.update(repr(key).encode())
        _add_array(digest, np.asarray(table[key], float))


def plane_digest(plane: NDArray[Any]) -> str:
    """Hash of the labels of a plane, by which a correction is noticed.

    Returns: changes with any pixel, but not with the type of the numbers,
    which napari can convert and files of other programs do not keep.
    """
    data = np.ascontiguousarray(plane)
    if data.dtype.kind in 'iu' and data.size:
        lowest, highest = data.min(), data.max()
        smallest = np.min_scalar_type(highest) if lowest >= 0 else np.int64
        data = data.astype(smallest, copy=False)
    # Several times as fast as other hashes; the window waits for a film's.
    return f'{zlib.crc32(data.reshape(-1).view(np.uint8).data):08x}'


def digests_written(
    layer: Any, planes: Iterable[Index]
) -> dict[str, tuple[str, ...]]:
    """Hashes of all that was written to planes of a result.

    ``planes``: those that were written just now.
    Returns: hashes by index as text, those of earlier runs first: undo leads
    back to them.
    """
    digests = dict(about_layer(layer).get('digests', {}))
    for index in planes:
        key = index_key(index)
        digest = plane_digest(layer.data[index])
        digests[key] = (*digests.get(key, ()), digest)
    return digests


def planes_drawn(
    layer: Any, planes: Iterable[Index], drawn: Iterable[str]
) -> list[str]:
    """Planes of a result that are the user's, by their index as text.

    ``planes``: those that were written just now, of which ``drawn`` are the
    user's. What is known of others stays.
    """
    before = set(about_layer(layer).get('drawn', ()))
    return sorted(before - {index_key(plane) for plane in planes} | {*drawn})


def mark_written(layer: Any, about: Mapping[str, Any]) -> None:
    """Record that a layer holds what we wrote.

    ``about``: what its metadata say, with the `key` by which it is found
    again.
    """
    written = {
        'layer': layer.unique_id,
        'written': (fingerprint(layer),),
        'place': _place_of(layer),
    }
    layer.metadata = {**layer.metadata, METADATA: {**about, **written}}


@contextmanager
def keep_pristine(layer: Any) -> Iterator[None]:
    """Let a change of ours to labels not count as an edit of the user.

    What is painted meanwhile does.
    """
    pristine = _is_ours(layer) and not is_edited(layer)
    strokes: list[Any] = []

    def on_stroke(event: Any) -> None:
        strokes.append(event)

    layer.events.labels_update.connect(on_stroke)
    try:
        yield
    finally:
        layer.events.labels_update.disconnect(on_stroke)
    if pristine and not strokes:
        about = about_layer(layer)
        # Undo leads back to a state that is ours as well.
        known = (*about['written'], fingerprint(layer))
        layer.metadata = {
            **layer.metadata,
            METADATA: {**about, 'written': known},
        }


def is_edited(layer: Any) -> bool:
    """Whether a result differs from all that we wrote to it."""
    return fingerprint(layer) not in about_layer(layer).get('written', ())


def _place_of(layer: Any) -> str:
    """Where a layer lies, as text."""
    world = grid_of(layer, (1,) * layer.ndim).to_world()
    values = ' '.join(f'{value:.6g}' for value in world.ravel() + 0.0)
    return f'{values} {" ".join(map(str, layer.units))}'


def is_moved(layer: Any) -> bool:
    """Whether a result lies elsewhere than where we put it."""
    here = _place_of(layer)
    return bool(about_layer(layer).get('place', here) != here)


def _is_ours(layer: Any) -> bool:
    """Whether a layer is a result itself, not a duplicate of one."""
    about = about_layer(layer)
    return 'key' in about and about.get('layer') == layer.unique_id


def find_result(layers: Iterable[Any], key: str) -> Any:
    """Find our layer of a key.

    Returns: None if there is none, or only duplicates of it.
    """
    for layer in layers:
        if about_layer(layer).get('key') == key and _is_ours(layer):
            return layer
    return None


def release(layer: Any) -> None:
    """Give a result to the user: no run writes to it any more."""
    about = {
        name: value
        for name, value in about_layer(layer).items()
        if name not in ('key', 'layer', 'written', 'place')
    }
    layer.metadata = {**layer.metadata, METADATA: about}
