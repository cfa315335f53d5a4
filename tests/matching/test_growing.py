"""Motion that goes on from what is right to what the network took wrongly."""

from __future__ import annotations

import numpy as np
import torch
from skimage import data, transform

from napari_samnet.evaluation.protocols.instances import Instances
from napari_samnet.matching.fine import refine
from napari_samnet.matching.growing import continued
from napari_samnet.matching.lucas_kanade import still_places
from napari_samnet.matching.match import match

SIDE = 128


def test_what_is_far_off_is_reached_from_what_is_right() -> None:
    pixels = transform.resize(
        data.astronaut(), (SIDE, SIDE), anti_aliasing=True
    ).astype(np.float32)
    still = np.zeros((16, 16, 2), np.float32)
    # A corner is taken for another place, in both directions alike.
    wrong = still.copy()
    wrong[11:, 11:] = 24 / SIDE
    found = refine(pixels, pixels, wrong, -wrong)
    assert found is not None
    error = np.linalg.norm(found.forward, axis=-1) * SIDE
    # A seam stays where what grew from both sides meets.
    assert (error > 8).mean() < 0.03
    assert np.median(error[22:, 22:]) < 3


def test_a_thing_that_moves_on_its_own_is_not_overrun() -> None:
    ground = transform.resize(
        data.coffee(), (SIDE, SIDE), anti_aliasing=True
    ).astype(np.float32)
    thing = transform.resize(
        data.chelsea(), (48, 48), anti_aliasing=True
    ).astype(np.float32)
    source, target = ground.copy(), ground.copy()
    source[32:80, 24:72], target[32:80, 40:88] = thing, thing
    forward, backward = np.zeros((2, 16, 16, 2), np.float32)
    forward[4:10, 3:9, 1] = 16 / SIDE
    backward[4:10, 5:11, 1] = -16 / SIDE
    found = refine(source, target, forward, backward)
    assert found is not None
    side = found.forward.shape[0]
    rows, columns = (
        slice((a + 12) * side // SIDE, (b - 12) * side // SIDE)
        for a, b in ((32, 80), (24, 72))
    )
    moved = found.forward[rows, columns] * SIDE
    assert np.abs(moved - (0, 16)).mean() < 1.5


def test_an_affine_motion_goes_on_as_it_is() -> None:
    at = still_places(torch.zeros(1, 2, 24, 24))
    matrix = torch.tensor([[1.1, 0.05], [-0.08, 0.95]])
    places = torch.einsum('ij,bjhw->bihw', matrix, at) + 0.03
    weight = torch.zeros(1, 1, 24, 24)
    weight[..., 4:16, 6:18] = 1
    known = torch.where(weight > 0, places, torch.zeros_like(places))
    # The outermost known cells see what is unknown in their slopes.
    weight[..., [4, 15], :] = 0
    weight[..., [6, 17]] = 0
    torch.testing.assert_close(
        continued(known, weight), places, atol=1e-3, rtol=0
    )


def test_none_of_many_labels_is_lost_where_the_network_errs() -> None:
    """One nucleus among two hundred is like any other to the network."""
    protocol = Instances()
    pair = protocol.load(22)
    assert pair.name == 'nuclei-200-2'
    result = match(pair.source, pair.target, attributes=False)
    carried = result.warp_labels(pair.truth.labels, image=pair.target)
    sizes = np.bincount(pair.truth.target_labels.ravel())
    seen = {n for n in pair.truth.visible if sizes[n] > 12}
    assert len(seen) > 150
    assert seen <= set(np.unique(carried).tolist())
