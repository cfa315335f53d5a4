"""Stacks on disk are read plane by plane, and memory stays bounded."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_samnet.plugin.model.capture import METADATA

WAIT = 120.0
PLANES = 6


class Tracked(np.ndarray):
    """An array whose end can be noticed."""


class Stack:
    """A stack that makes its planes when asked, and counts who holds them."""

    dtype = np.dtype(np.float32)

    def __init__(self, planes: np.ndarray) -> None:
        self._planes = planes
        self.shape, self.ndim = planes.shape, planes.ndim
        self.asked: list[Any] = []
        self.most = 0
        self._held: list[weakref.ref[Tracked]] = []

    def __getitem__(self, index: Any) -> np.ndarray:
        if threading.current_thread() is threading.main_thread():
            # napari itself, to draw.
            return self._planes[index]
        self.asked.append(index)
        made = self._planes[index].copy().view(Tracked)
        self._held = [x for x in self._held if x() is not None]
        self._held.append(weakref.ref(made))
        self.most = max(self.most, len(self._held))
        return made

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError('the whole stack was read')


@pytest.fixture
def planes(photos: Any) -> np.ndarray:
    gray = photos[0].mean(axis=-1).astype(np.float32)
    return np.stack([np.roll(gray, 2 * k, 1) for k in range(PLANES)])


@pytest.fixture
def labels(mask: np.ndarray) -> np.ndarray:
    made = np.zeros((PLANES, 80, 100), np.int32)
    made[2] = mask
    return made


def made_in(viewer: ViewerModel, role: str) -> Any:
    return next(
        layer
        for layer in viewer.layers
        if layer.metadata.get(METADATA, {}).get('role') == role
    )


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['pairwise', 'propagate'])
def test_few_planes_are_in_memory_at_a_time(
    viewer: ViewerModel,
    make_widget: Any,
    planes: np.ndarray,
    labels: np.ndarray,
    mode: str,
) -> None:
    stack = Stack(planes)
    keywords = {'contrast_limits': (0, 255), 'multiscale': False}
    viewer.add_image(stack, name='lazy', **keywords)
    viewer.add_image(planes[:, ::-1], name='other')
    viewer.add_labels(labels, name='mask')
    widget = make_widget(viewer, iterations=1, attributes=False)
    widget.set_source('lazy')
    widget.set_target('other')
    widget.set_labels('mask')
    widget.set_planes(mode)
    viewer.dims.set_point(0, 2)
    stack.asked.clear()
    widget.run(wait=True, timeout=WAIT)
    assert stack.asked
    # Always one plane, never a slice of several.
    assert {len(index) for index in stack.asked} == {1}
    assert all(isinstance(index[0], int) for index in stack.asked)
    assert sorted({index[0] for index in stack.asked}) == [*range(PLANES)]
    # The annotated plane, the one before, this one, and the next.
    assert stack.most <= 4


@pytest.mark.slow
def test_propagation_keeps_no_picture_of_every_plane(
    viewer: ViewerModel,
    make_widget: Any,
    planes: np.ndarray,
    labels: np.ndarray,
) -> None:
    viewer.add_image(planes[1:4], name='photo')
    viewer.add_labels(labels[1:4], name='mask')
    widget = make_widget(viewer, iterations=1)
    widget.set_labels('mask')
    widget.set_planes('propagate')
    viewer.dims.set_point(0, 1)
    widget.run(wait=True, timeout=WAIT)
    # Labels go from plane to plane without a correspondence to keep.
    assert not widget._matches


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['current', 'pairwise', 'propagate'])
def test_zarr_arrays_are_read_plane_by_plane(
    viewer: ViewerModel,
    make_widget: Any,
    planes: np.ndarray,
    labels: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    zarr = pytest.importorskip('zarr')
    planes, labels = planes[:4], labels[:4]
    names = {'image': planes, 'labels': labels}
    stored = {}
    for name, data in names.items():
        stored[name] = zarr.open(
            str(tmp_path / f'{name}.zarr'),
            mode='w',
            shape=data.shape,
            chunks=(1, *data.shape[1:]),
            dtype=data.dtype,
        )
        stored[name][:] = data
    viewer.add_image(stored['image'], name='zarr', contrast_limits=(0, 255))
    viewer.add_labels(stored['labels'], name='mask')
    viewer.add_image(planes[:, ::-1].copy(), name='other')
    widget = make_widget(viewer, iterations=1, attributes=False)
    widget.set_source('zarr')
    widget.set_target('other')
    widget.set_labels('mask')
    widget.set_planes(mode)
    widget.set_outputs('labels')
    viewer.dims.set_point(0, 2)
    read: list[tuple[int, ...]] = []
    inner = zarr.Array.__getitem__

    def watch(array: Any, index: Any) -> Any:
        data = inner(array, index)
        if threading.current_thread() is not threading.main_thread():
            read.append(data.shape)
        return data

    monkeypatch.setattr(zarr.Array, '__getitem__', watch)
    widget.run(wait=True, timeout=WAIT)
    assert set(read) == {(80, 100)}
    # Image and labels of the planes that were asked for, labels once for the
    # match, once to be carried and once for the verdict; the
    # target once more, for outlines. All planes of the labels are read where
    # any of them may be annotated.
    count = {'current': 4, 'pairwise': 16, 'propagate': 8}[mode]
    assert len(read) == count
    role = 'labels propagated' if mode == 'propagate' else 'labels'
    made = made_in(viewer, role)
    assert made.data.dtype == np.int32
    assert 70_000 in made.data
