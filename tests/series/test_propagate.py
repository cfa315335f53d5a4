"""Labels through films that are made up, so that the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.draw import ellipse

from napari_samnet import propagate
from napari_samnet.datasets.real_pairs import brain_series
from napari_samnet.errors import InputError
from napari_samnet.series import chain, similar_cells
from napari_samnet.series import propagate as engine
from napari_samnet.series.closely import region_around, wanted_cells
from napari_samnet.series.encode import Cells
from napari_samnet.series.pieces import drop_far_pieces
from napari_samnet.series.positions import shared_by_position
from napari_samnet.series.working_size import working_size

SIZE = 96
SHAPE = (100, 150)


def iou(one: Any, other: Any) -> float:
    """Share of both that two masks have in common."""
    return float((one & other).sum() / max(1, (one | other).sum()))


@pytest.fixture(scope='module')
def still() -> np.ndarray:
    """A still picture."""
    return data.chelsea()[60:160, 60:210].copy()


@pytest.fixture(scope='module')
def texture() -> np.ndarray:
    """What the object looks like."""
    noise = gaussian_filter(np.random.default_rng(0).random((25, 31, 3)), 1.5)
    noise = (noise - noise.min()) / np.ptp(noise) * 255
    noise[..., 2] = 255 - noise[..., 2] * 0.2
    return noise.astype(np.uint8)


def film(
    still: np.ndarray, texture: np.ndarray, columns: list[int | None]
) -> tuple[np.ndarray, np.ndarray]:
    """An ellipse at a column of each frame, or none, over a still picture."""
    frames, masks = [], []
    for column in columns:
        frame, mask = still.copy(), np.zeros(SHAPE, np.uint32)
        if column is not None:
            mask[ellipse(50, column, 12, 15, shape=SHAPE)] = 70_000
            patch = np.zeros_like(frame)
            patch[38:63, column - 15 : column + 16] = texture
            frame[mask > 0] = patch[mask > 0]
        frames.append(frame)
        masks.append(mask)
    return np.stack(frames), np.stack(masks)


def by_index(series: Any) -> dict[int, Any]:
    """Reports by plane."""
    return {report.index: report for report in series.reports}


class TestMovingObject:
    """A small thing moves over a still background."""

    def test_it_is_followed_exactly(self, still: Any, texture: Any) -> None:
        frames, truth = film(still, texture, [25, 37, 49, 61, 73])
        found = propagate(frames, {0: truth[0]}, size=SIZE)
        assert found.labels.dtype == np.uint32
        assert set(np.unique(found.labels)) == {0, 70_000}
        for here, there in zip(found.labels, truth, strict=True):
            assert iou(here > 0, there > 0) > 0.9
        states = [report.state for report in found.reports]
        assert states == ['annotated', 'good', 'good', 'good', 'good']

    def test_the_light_network_alone_follows_it_too(
        self, still: Any, texture: Any
    ) -> None:
        frames, truth = film(still, texture, [25, 37, 49])
        cut = np.stack([*frames, data.astronaut()[:100, 180:330]])
        found = propagate(cut, {0: truth[0]}, size=SIZE, fast=True)
        for here, there in zip(found.labels[:3], truth, strict=True):
            assert iou(here > 0, there > 0) > 0.9
        assert by_index(found)[3].state == 'ended'

    def test_where_it_is_gone_nothing_is_painted(
        self, still: Any, texture: Any
    ) -> None:
        frames, truth = film(still, texture, [40, 50, None, None, 80, 90])
        found = propagate(frames, {0: truth[0]}, size=SIZE)
        reports = by_index(found)
        for gone in (2, 3):
            assert not found.labels[gone].any()
            assert reports[gone].state == 'empty'
            assert reports[gone].missing == (70_000,)
        for back in (4, 5):
            assert iou(found.labels[back] > 0, truth[back] > 0) > 0.9


class TestLabelsThatLookAlike:
    """Which of them is meant, their places tell."""

    def test_the_nearer_one_gets_the_evidence_of_both(self) -> None:
        before = np.zeros((2, 10, 20), np.float32)
        before[0, 3:6, 2:5] = before[1, 3:6, 15:18] = 1
        evidence = np.zeros((2, 10, 20), np.float32)
        evidence[:, 3:6, 3:6] = [[[0.3]], [[0.6]]]
        evidence[1, 8, 10] = 0.5
        shared = shared_by_position(evidence, before.reshape(2, -1).T)
        np.testing.assert_allclose(shared.sum(0), evidence.sum(0), rtol=1e-5)
        assert (shared[0] > shared[1])[3:6, 3:6].all()
        # Nobody else claims it.
        assert shared[1, 8, 10] == pytest.approx(0.5)

    @pytest.mark.slow
    def test_halves_of_a_brain_are_not_mixed_up(self) -> None:
        sections, labels, _ = brain_series()
        found = propagate(sections[2:], labels[2:])
        for plane in found.labels[1:]:
            left, right = (np.nonzero(plane == k)[1] for k in (1, 2))
            assert len(left) > 1000
            assert left.max() < right.min()


class TestPlanesThatDoNotFit:
    """Cuts, blank planes and blur."""

    def test_a_cut_ends_the_chain_with_its_reason(
        self, still: Any, texture: Any
    ) -> None:
        frames, truth = film(still, texture, [40, 46, 52, 58, 64])
        other = data.coffee()[50:250:2, 100:400:2]
        frames[3:] = other
        found = propagate(frames, {0: truth[0]}, size=SIZE)
        reports = by_index(found)
        assert found.labels[2].any()
        assert not found.labels[3:].any()
        assert [reports[k].state for k in (3, 4)] == ['ended', 'ended']
        assert 'cut' in reports[3].reason
        assert 'cut at plane 3' in reports[4].reason

    def test_each_side_of_a_cut_follows_its_own_annotation(
        self, still: Any, texture: Any
    ) -> None:
        frames, truth = film(still, texture, [40, 46, 52, 58, 64])
        frames[3:] = data.coffee()[50:250:2, 100:400:2]
        behind = np.zeros(SHAPE, np.uint32)
        behind[30:70, 60:110] = 5
        found = propagate(frames, {0: truth[0], 4: behind}, size=SIZE)
        assert set(np.unique(found.labels[2])) == {0, 70_000}
        assert set(np.unique(found.labels[3])) == {0, 5}
        assert iou(found.labels[3] > 0, behind > 0) > 0.9

    def test_a_blank_plane_is_left_out(self, still: Any, texture: Any) -> None:
        frames, truth = film(still, texture, [40, 46, 52, 58])
        frames[2] = 0
        found = propagate(frames, {0: truth[0]}, size=SIZE)
        reports = by_index(found)
        assert reports[2].state == 'skipped'
        assert not found.labels[2].any()
        assert iou(found.labels[3] > 0, truth[3] > 0) > 0.9

    def test_a_blurred_plane_is_survived(
        self, still: Any, texture: Any
    ) -> None:
        frames, truth = film(still, texture, [40, 46, 52, 58])
        frames[2] = gaussian_filter(frames[2], (4, 4, 0))
        found = propagate(frames, {0: truth[0]}, size=SIZE)
        assert by_index(found)[2].state in ('look', 'skipped')
        assert iou(found.labels[3] > 0, truth[3] > 0) > 0.9


class TestChoice:
    """Which planes, which ids, which way."""

    @pytest.fixture
    def two(self, still: Any, texture: Any) -> tuple[Any, Any]:
        frames, truth = film(still, texture, [40, 46, 52, 58, 64])
        truth[:, 5:35, 100:140] = 9
        return frames, truth

    def test_only_chosen_ids(self, two: Any) -> None:
        frames, truth = two
        found = propagate(frames, {2: truth[2]}, ids=[9], size=SIZE)
        for plane in (0, 1, 3, 4):
            assert set(np.unique(found.labels[plane])) == {0, 9}
        np.testing.assert_array_equal(found.labels[2], truth[2])

    def test_annotated_planes_without_the_ids_stay(self, two: Any) -> None:
        frames, truth = two
        other = np.where(truth[4] == 9, 0, truth[4])
        drawn = {1: truth[1], 4: other}
        found = propagate(frames, drawn, ids=[9], size=SIZE)
        np.testing.assert_array_equal(found.labels[4], other)
        assert found.reports[4].state == 'annotated'
        assert set(np.unique(found.labels[3])) == {0, 9}

    def test_only_forwards_from_a_plane(self, two: Any) -> None:
        frames, truth = two
        drawn = {0: truth[0], 2: truth[2]}
        found = propagate(
            frames, drawn, start=2, direction='forwards', size=SIZE
        )
        assert not found.labels[1].any()
        assert found.labels[3].any()
        assert found.labels[4].any()

    def test_a_plane_that_shows_one_id_does_not_lose_the_other(
        self, two: Any
    ) -> None:
        frames, truth = two
        only = np.where(truth[2] == 70_000, truth[2], 0)
        found = propagate(frames, {0: truth[0], 2: only}, size=SIZE)
        for plane in (1, 3, 4):
            assert set(np.unique(found.labels[plane])) == {0, 9, 70_000}

    def test_it_can_be_stopped(self, two: Any) -> None:
        frames, truth = two
        found = propagate(
            frames, {0: truth[0]}, size=SIZE, on_plane=lambda _: True
        )
        assert [plane.any() for plane in found.labels] == [
            True,
            True,
            False,
            False,
            False,
        ]


class TestOutlines:
    """Results meet the edges of each plane."""

    def test_they_are_moved_to_edges_at_full_size(self) -> None:
        rng = np.random.default_rng(1)
        frames = rng.normal(60, 6, (2, 200, 300, 3))
        truth = np.zeros((2, 200, 300), np.uint8)
        for frame, mask, at in zip(frames, truth, (120, 155), strict=True):
            # Not the same pixels again, so that it cannot be followed.
            where = ellipse(100, at, 45, 60 + at // 20, shape=mask.shape)
            mask[where] = 3
            frame[where] = rng.normal(190, 6, (len(where[0]), 3))
        frames = frames.clip(0, 255).astype(np.uint8)
        drawn = {0: truth[0]}
        crisp = propagate(frames, drawn, size=SIZE).labels[1]
        plain = propagate(frames, drawn, size=SIZE, outlines=False).labels[1]
        assert set(np.unique(crisp)) == {0, 3}
        assert iou(crisp > 0, truth[1] > 0) > 0.95
        assert iou(crisp > 0, truth[1] > 0) > iou(plain > 0, truth[1] > 0)


class TestWorkingSize:
    """The network sees small things larger."""

    @pytest.mark.parametrize(
        ('side', 'size'), [(200, 256), (130, 288), (20, 384)]
    )
    def test_it_suits_the_labels(self, side: int, size: int) -> None:
        labels = np.zeros((240, 427), np.uint8)
        labels[:side, :side] = 7
        assert working_size([labels], least=256) == size

    def test_it_is_not_below_what_was_asked_for(self) -> None:
        labels = np.ones((64, 64), np.uint8)
        assert working_size([labels], least=512) == 512


class TestPieces:
    """A second thing that looks like the labeled one."""

    def drop(self, drawn: Any, carried: Any) -> Any:
        places = carried.astype(np.int32)
        drop_far_pieces(places, drawn, drawn.astype(np.int32), 2)
        return places

    def test_a_small_piece_far_away_is_dropped(self) -> None:
        drawn = np.zeros((80, 120), np.int32)
        drawn[20:60, 20:60] = 2
        carried = drawn.copy()
        carried[30:40, 90:110] = 2
        np.testing.assert_array_equal(self.drop(drawn, carried), drawn)

    def test_pieces_as_far_apart_as_they_were_drawn_stay(self) -> None:
        drawn = np.zeros((80, 120), np.int32)
        drawn[20:60, 20:60] = 2
        drawn[30:40, 90:110] = 2
        np.testing.assert_array_equal(self.drop(drawn, drawn), drawn)

    def test_parts_beside_an_obstacle_stay(self) -> None:
        drawn = np.zeros((80, 120), np.int32)
        drawn[20:60, 20:60] = 1
        carried = drawn.copy()
        carried[:, 50:54] = 0
        np.testing.assert_array_equal(self.drop(drawn, carried), carried)


@pytest.mark.slow
def test_memory_is_bounded(
    still: Any, texture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, truth = film(still, texture, [40, 42, 44, 46, 48] * 4)
    alive: list[int] = []
    remembered = engine.Memory.remember

    def watch(self: Any, *args: Any) -> None:
        remembered(self, *args)
        alive.append(len(self._annotated) + len(self._recent))

    monkeypatch.setattr(engine.Memory, 'remember', watch)
    drawn = {k: truth[k] for k in range(0, 20, 2)}
    propagate(frames, drawn, size=64)
    assert max(alive) <= 8


@pytest.mark.parametrize(
    ('annotations', 'options', 'message'),
    [
        ({}, {}, 'no plane is annotated'),
        ({7: np.ones((8, 8), int)}, {}, 'name plane 7, there are planes 0'),
        ({0: np.ones((8, 8))}, {}, 'must be 2-D whole numbers'),
        ({0: np.ones((8, 8), int)}, {'ids': [4]}, r'with the ids \[4\]'),
        (
            {0: np.ones((8, 8), int)},
            {},
            r'shape of their image, .* got \(8, 8\)',
        ),
    ],
)
def test_what_does_not_fit_is_said(
    annotations: Any, options: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        propagate(np.zeros((2, 64, 64)), annotations, size=64, **options)


def test_a_film_is_no_path_and_no_image() -> None:
    drawn = {0: np.ones((8, 8), int)}
    for planes, said in (
        ('film.tif', r'got the path film\.tif: read it first'),
        (np.zeros((8, 8)), r'got one image, of shape \(8, 8\)'),
        (['a.png', 'b.png'], r'plane 0 must be .* the path a\.png: read the'),
    ):
        with pytest.raises(InputError, match=said):
            propagate(planes, drawn, size=64)


class TestRegion:
    """A part of the planes that labels are carried in."""

    @pytest.fixture
    def planes(self, texture: Any) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(3)
        plane = rng.integers(90, 110, (96, 128, 3)).astype(np.uint8)
        for column in (24, 88):
            plane[40:56, column : column + 16] = texture[:16, :16]
        labels = np.zeros((96, 128), np.uint8)
        labels[40:56, 24:40] = 5
        return np.stack([plane, plane]), labels

    def test_nothing_is_carried_outside(self, planes: Any) -> None:
        film, labels = planes
        left = np.zeros(labels.shape, bool)
        left[:, :64] = True
        for where in ({'region': left}, {'leave_out': ~left}):
            carried = propagate(film, {0: labels}, size=96, **where).labels
            assert (carried[1] == 5).sum() > 60
            assert not carried[1][:, 64:].any()
        # What was annotated stays as it was drawn, wherever it lies.
        series = propagate(
            film, {0: labels}, size=96, leave_out=np.stack([left, left])
        )
        np.testing.assert_array_equal(series.labels[0], labels)
        assert not series.labels[1][:, :64].any()

    def test_what_does_not_fit_is_said(self, planes: Any) -> None:
        film, labels = planes
        for region, text in (
            (np.ones((3, 96, 128)), 'one plane for each of the 2'),
            (np.ones((9, 9)), 'the shape of the planes'),
            (np.zeros((96, 128)), 'nothing of a plane is left'),
        ):
            with pytest.raises(InputError, match=text):
                propagate(film, {0: labels}, size=96, region=region)


class TestCloseLook:
    """What is looked at closely."""

    @pytest.mark.parametrize(
        'last',
        [None, np.s_[8:24, 20:36], np.s_[16:48, 4:44], np.s_[0:48, 0:86]],
    )
    def test_it_holds_all_that_is_wanted(
        self, last: tuple[slice, slice] | None
    ) -> None:
        rng = np.random.default_rng(0)
        for _ in range(200):
            wanted = np.zeros((48, 86), bool)
            rows, columns = (np.sort(rng.integers(0, n, 2)) for n in (48, 86))
            wanted[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = True
            region = region_around(wanted, last)
            assert region is not None
            assert wanted[region].sum() == wanted.sum()
            assert not any(part.start % 4 for part in region)

    def test_it_stays_where_what_is_wanted_has_moved_a_little(self) -> None:
        wanted = np.zeros((48, 86), bool)
        wanted[20:30, 40:52] = True
        region = region_around(wanted, None)
        assert region is not None
        moved = np.roll(wanted, (1, -1), (0, 1))
        assert region_around(moved, region) == region
        far = region_around(np.roll(wanted, 20, 1), region)
        assert far is not None
        assert far != region
        # Of the same size, so that the network is not compiled again.
        assert [p.stop - p.start for p in far] == [
            p.stop - p.start for p in region
        ]

    def test_a_label_that_the_glance_does_not_see_may_be_anywhere(
        self,
    ) -> None:
        evidence = np.zeros((2, 8, 12), np.float32)
        evidence[0, 2:4, 2:4] = 1
        before = np.zeros((16, 24), bool)
        before[4:8, 4:8] = True
        one, two = np.array([[True, False], [True, True]])
        wanted = wanted_cells(evidence, before, one)
        assert wanted is not None
        assert wanted[4:8, 4:8].all()
        assert not wanted[:, 12:].any()
        assert wanted_cells(evidence, before, two) is None
        # A speck far away is none of it.
        evidence[0, 7, 11] = 0.2
        np.testing.assert_array_equal(
            wanted_cells(evidence, before, one), wanted
        )


def test_cells_that_many_ask_for_are_popular(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(40, 8), dim=1)
    places = np.arange(40)
    cells = Cells(features, (5, 8), places)
    asked = cells.some(places[:-1])
    values, index, popular = similar_cells.compared_cells(
        asked, cells, 3, None, 0.1
    )
    assert index[:, 0].tolist() == places[:-1].tolist()
    assert torch.allclose(values[:, 0], torch.ones(39), atol=1e-5)
    cosine = asked.features @ features.T
    total = ((cosine - 1) / 0.1).exp().sum(0)
    assert torch.allclose(popular, 1 + 0.1 * total.log(), atol=1e-4)
    monkeypatch.setattr(similar_cells, 'MOST_HELD', 0)
    again = similar_cells.compared_cells(asked, cells, 3, None, 0.1)
    for one, other in zip((values, index, popular), again, strict=True):
        assert torch.allclose(one, other)


def test_the_largest_of_many_are_those_of_all() -> None:
    import torch

    torch.manual_seed(0)
    for columns in (40, 960, 1001):
        values = torch.randn(50, columns)
        found, where = similar_cells.largest(values, 30)
        torch.testing.assert_close(found, values.topk(30, 1).values)
        torch.testing.assert_close(found, values.gather(1, where))


def test_what_lies_beyond_the_window_is_far() -> None:
    import torch

    grid = (5, 8)
    # Of a region of rows 1 to 4 and columns 2 to 7.
    places = np.arange(40).reshape(grid)[1:, 2:].ravel()
    others = Cells(torch.zeros(len(places), 1), grid, places)
    asked = places[10:13]
    cosine = torch.zeros(len(asked), len(places))
    similar_cells.leave_out_far(cosine, asked, others, 2)
    for row, one in zip(cosine.numpy(), asked, strict=True):
        rows, columns = np.divmod(places, 8)
        apart = np.maximum(abs(rows - one // 8), abs(columns - one % 8))
        np.testing.assert_array_equal(row < 0, apart > 2)


def test_planes_that_are_looked_at_ahead_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    picture = rng.random((120, 160, 3)).astype(np.float32)
    picture[40:80, 30:70] = 1, 0.2, 0.1
    film = [np.roll(picture, 3 * k, 1) for k in range(4)]
    labels = np.zeros((120, 160), np.uint8)
    labels[40:80, 30:70] = 4
    results = []
    for room in (True, False):
        monkeypatch.setattr(chain, 'has_room', lambda _, room=room: room)
        read: list[int] = []

        class Planes:
            def __len__(self) -> int:
                return len(film)

            def __getitem__(self, index: int, read: Any = read) -> Any:
                read.append(index)
                return film[index]

        results.append(propagate(Planes(), {0: labels}, size=64).labels)
        # Each one is read once, whoever wants it first.
        assert sorted(set(read)) == [0, 1, 2, 3]
    np.testing.assert_array_equal(*results)


def test_ids_of_64_bits_stay_exact(
    still: np.ndarray, texture: np.ndarray
) -> None:
    """Also two that lie one apart, and planes of two number types."""
    frames, masks = film(still, texture, [60, 62, 64])
    big = 2**60 + 1
    first = np.zeros(SHAPE, np.uint64)
    first[masks[0] > 0] = big
    first[10:24, 10:30] = big + 1
    last = np.zeros(SHAPE, np.int64)
    last[masks[2] > 0] = big
    for given, ids in (
        ({0: first}, {big, big + 1}),
        ({0: first, 2: last}, {big, big + 1}),
    ):
        found = propagate(frames, given, size=SIZE, fast=True)
        labels = found.labels[1]
        assert {int(x) for x in np.unique(labels)} - {0} <= ids
        assert iou(labels == big, masks[1] > 0) > 0.8
    # The type of one annotated plane may be too small for another.
    small = (masks[0] > 0).astype(np.uint8)
    late = np.where(masks[2] > 0, 300, 0).astype(np.uint16)
    found = propagate(frames, {0: small, 2: late}, size=SIZE, fast=True)
    np.testing.assert_array_equal(found.labels[2], late)
    found = propagate(frames, {0: first}, size=SIZE, fast=True, ids=[big + 1])
    assert {int(x) for x in np.unique(found.labels[1])} == {0, big + 1}
