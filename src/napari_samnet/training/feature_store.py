"""Matching features of many images in their main directions, in a file.

The feature network is frozen, so that each image is encoded once; what is
trained on top of it then costs no pass of VGG. In 640 directions on 32 by 32
cells a feature takes 1.3 MB in half precision, too much to keep in memory for
thousands of images: the file is mapped, and the system keeps in memory what
there is room for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_samnet.errors import DeviceError
from napari_samnet.files import write_text
from napari_samnet.runtime.int8 import find_limits
from napari_samnet.runtime.weights import get_weights, read_model
from napari_samnet.samnet.efficientnet_lite import LITE_CHANNELS
from napari_samnet.samnet.features import VGGFeatures
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.taught_blocks import ENTRY
from napari_samnet.training.data import to_tensor

#: Images that are encoded between two notes of how far the file is filled.
NOTED_EVERY = 20


@dataclass(frozen=True)
class FeatureStore:
    """Features of images, on disk."""

    #: Mapped; cells in row-major order.
    features: NDArray[np.float16]
    #: ``(channels, directions)``, orthonormal columns.
    basis: Tensor
    #: Cells along one side of the square that the images are resized to.
    side: int
    #: ``(N, 80, h, w)``, mapped: what taught blocks start from; None if there
    #: are none.
    entries: NDArray[np.float16] | None = None

    @classmethod
    def fill(
        cls,
        path: Path,
        images: Sequence[Callable[[], np.ndarray]],
        features: VGGFeatures,
        *,
        basis: Tensor,
        side: int,
        entries: bool = False,
        tell: Callable[[int], None] = lambda _: None,
    ) -> FeatureStore:
        """Encode images into a file, or the rest of them after a break.

        ``path``: the ``.npy`` file. Beside it, a JSON file of the same name
        notes how many images are done.
        ``images``: each reads one image, float32 ``(size, size, 3)``. The
        order must be the same when a file is filled further.
        ``basis``: ``(channels, directions)``, orthonormal columns.
        ``side``: cells along one side: the images' size in pixels by 8.
        ``entries``: keep what taught blocks start from as well, in a second
        file beside it.
        """
        half = -(-side // 2)
        shapes: list[tuple[int, ...]] = [
            (len(images), side * side, basis.shape[1])
        ]
        files = [path]
        if entries:
            shapes.append((len(images), LITE_CHANNELS[ENTRY], half, half))
            files.append(entries_path(path))
        note, done = path.with_suffix('.json'), 0
        if note.is_file() and all(file.is_file() for file in files):
            arrays = [np.lib.format.open_memmap(one, 'r+') for one in files]
            if [array.shape for array in arrays] == shapes:
                done = int(json.loads(note.read_text(encoding='utf-8')))
        if done == 0:
            arrays = [
                np.lib.format.open_memmap(one, 'w+', np.float16, shape)
                for one, shape in zip(files, shapes, strict=True)
            ]
        for index in range(done, len(images)):
            encoded = _encode(features, images[index](), basis)
            for array, part in zip(arrays, encoded, strict=False):
                array[index] = part
            if (index + 1) % NOTED_EVERY == 0 or index + 1 == len(images):
                for array in arrays:
                    array.flush()
                write_text(note, json.dumps(index + 1))
                tell(index + 1)
        kept = [np.load(file, mmap_mode='r') for file in files]
        return cls(kept[0], basis, side, *kept[1:])

    def cells(self, index: int) -> Tensor:
        """Feature of one image at its cells, ``(N, directions)``, fp32."""
        return torch.from_numpy(self.features[index].astype(np.float32))

    def whole(self, index: int) -> Tensor:
        """Feature of one image in all directions, ``(directions, H, W)``."""
        cells = self.cells(index)
        return cells.T.reshape(-1, self.side, self.side)

    def seen(self, indices: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """What features that are learnt see of some images.

        Returns: ``(B, directions, H, W)``, and ``(B, 80, h, w)`` if there are
        taught blocks.
        """
        maps = torch.stack([self.whole(index) for index in indices])
        if self.entries is None:
            return maps, None
        entries = np.stack([self.entries[index] for index in indices])
        return maps, torch.from_numpy(entries).float()


def entries_path(path: Path) -> Path:
    """File beside a store that holds what taught blocks start from."""
    return path.with_suffix('.entries.npy')


@torch.inference_mode()
def _encode(
    features: VGGFeatures, image: np.ndarray, basis: Tensor
) -> list[NDArray[np.float16]]:
    """Feature in the directions, and what taught blocks start from."""
    batch = to_tensor([image]).contiguous(memory_format=torch.channels_last)
    maps = features.layers(batch)
    encoded = features.matching_feature(maps, project=False)[0].cpu()
    parts = [encoded.flatten(1).T @ basis]
    if ENTRY in maps:
        parts.append(maps[ENTRY][0].float().cpu())
    return [part.half().numpy() for part in parts]


@torch.inference_mode()
def further_directions(
    features: VGGFeatures,
    start: Tensor,
    images: Iterable[np.ndarray],
    count: int,
) -> Tensor:
    """Orthonormal directions: those of a projection, and further ones.

    ``start``: ``(channels, C)``, the projection that is learnt from.
    ``count``: how many directions beside those of `start`: the ones in which
    cells of an image differ most.
    Returns: ``(channels, C + count)``, whose first C columns span `start`.
    """
    first = torch.linalg.qr(start).Q
    count = min(count, first.shape[0] - first.shape[1])
    moments = torch.zeros(len(first), len(first))
    for image in images:
        whole = features.match_only(to_tensor([image]), project=False)
        cells = whole[0].flatten(1).T.float().cpu()
        # A fourth of the cells says as much of an image in a fourth of the
        # time.
        cells = cells[::4] - cells.mean(0)
        cells = cells - (cells @ first) @ first.T
        moments += cells.T @ cells
    # In ascending order.
    vectors = torch.linalg.eigh(moments).eigenvectors
    further = vectors[:, len(first) - count :].flip(1)
    return torch.linalg.qr(torch.cat((first, further), 1)).Q.contiguous()


def frozen_features(model: SAMNet, path: Path) -> VGGFeatures:
    """W_F of a network in the arithmetic that `match` uses by default.

    Returns: in int8 where OpenVINO is there and a calibration was made for
    these very features, which takes a third of the time; the model's own
    otherwise.
    """
    if next(model.parameters()).is_cuda:
        return model.features
    try:
        limits = find_limits(get_weights(path), model)
        from napari_samnet.runtime.openvino_modules import use_openvino
    except (DeviceError, ImportError):
        return model.features
    return use_openvino(read_model(path), 'int8', **limits).features
