from __future__ import annotations

import csv
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_samnet.datasets.published_flow import read_flow_pairs
from napari_samnet.datasets.reading import read_flow
from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import run_benchmark
from napari_samnet.evaluation.interfaces import Answer
from napari_samnet.evaluation.methods.base import Identity, from_fields
from napari_samnet.evaluation.methods.estimates import (
    Estimates,
    with_estimates,
)
from napari_samnet.evaluation.protocols.flow import Flow, consistent


def write_flo(path: Path, flow: np.ndarray) -> None:
    """Write (row, column) flow as (u, v), from the format's description."""
    height, width = flow.shape[:2]
    with path.open('wb') as file:
        file.write(struct.pack('<fii', 202021.25, width, height))
        file.write(flow[..., ::-1].astype('<f4').tobytes())


@pytest.fixture
def kit(tmp_path, photograph):
    """Two groups; the second image is the first, shifted by 6 columns."""
    for group, name, flip in (
        ('FG3DCar', 'one', 0),
        ('JODS', 'two', 0),
        ('JODS', 'three', 1),
    ):
        folder = tmp_path / 'Dataset' / group / name
        folder.mkdir(parents=True)
        Image.fromarray(photograph).save(folder / 'image1.png')
        Image.fromarray(np.roll(photograph, 6, axis=1)).save(
            folder / 'image2.png'
        )
        mask = np.zeros((60, 80), np.uint8)
        mask[20:40, 20:40] = 255
        for side, sign in ((1, 1), (2, -1)):
            flow = np.full((60, 80, 2), 1e10, np.float32)
            flow[mask > 0] = (0, 6 * sign)
            if group == 'JODS':
                packed = np.where(flow > 1e9, -32768, flow[..., ::-1] * 32)
                packed[..., :] = np.where(
                    mask[..., None] > 0, flow[..., ::-1] * 32, -32768
                )
                np.savez(
                    folder / f'flow{side}.npz', flow32=packed.astype(np.int16)
                )
            else:
                write_flo(folder / f'flow{side}.flo', flow)
            Image.fromarray(mask).save(folder / f'mask{side}.png')
        (folder / 'flip_gt.txt').write_text(str(flip))
    return tmp_path


def test_flow_files_are_read_as_rows_and_columns(kit):
    for group, name, file in (
        ('FG3DCar', 'one', 'flow1.flo'),
        ('JODS', 'two', 'flow1.npz'),
    ):
        flow, valid = read_flow(kit / 'Dataset' / group / name / file)
        assert valid.sum() == 400
        assert np.array_equal(flow[valid], np.full((400, 2), (0, 6)))
        assert not flow[~valid].any()


def test_threshold_is_a_share_of_the_other_image(kit):
    pairs = read_flow_pairs(kit)
    protocol = Flow(pairs)
    pair = protocol.load(0)
    # 5 % of 80 columns are 4 pixels: 2 wrong is within, 6 wrong is not.
    near = np.full((4, 4, 2), (0, 8 / 80), np.float32)
    assert protocol.score(pair, Answer(from_fields(pair, near, -near))) == {
        't5': 1.0,
        't5_without_flips': 1.0,
        'iou': pytest.approx(400 / (60 * 72)),
    }
    assert protocol.score(pair, Identity().answer(pair))['t5'] == 0


def test_directions_groups_and_flips_are_averaged_in_turn(kit):
    pairs = read_flow_pairs(kit)
    assert [(pair.group, pair.name) for pair in pairs] == [
        ('FG3DCar', 'one'),
        ('JODS', 'three'),
        ('JODS', 'two'),
    ]
    protocol = Flow(pairs)
    scores = []
    for index, right in ((0, 1.0), (1, 0.0), (2, 1.0)):
        pair = protocol.load(index)
        step = np.full((2, 2, 2), (0, right * 6 / 80), np.float32)
        # Only the first direction is ever right.
        answer = Answer(from_fields(pair, step, 0 * step))
        scores.append(protocol.score(pair, answer))
    result = protocol.summary(scores, [pair.group for pair in pairs])
    assert result['groups']['FG3DCar']['t5'] == 0.5
    assert result['groups']['JODS']['t5'] == 0.25
    assert result['t5'] == 0.375
    assert result['t5_without_flips'] == 0.5


def test_estimates_of_another_size_are_resized(kit):
    results = kit / 'Results'
    for side, sign in ((1, 1), (2, -1)):
        folder = results / 'FG3DCar' / 'one'
        folder.mkdir(parents=True, exist_ok=True)
        write_flo(
            folder / f'flow{side}.flo', np.full((120, 160, 2), (0, 12 * sign))
        )
    pairs = with_estimates(read_flow_pairs(kit), results)
    assert [pair.name for pair in pairs] == ['one']
    outcome = run_benchmark(Flow(pairs), [Estimates(results)])
    assert outcome.result['methods']['estimates']['t5'] == 1
    with pytest.raises(InputError, match='holds no'):
        with_estimates(read_flow_pairs(kit), kit / 'nowhere')


def test_consistency_mask_leaves_out_what_leaves_the_image():
    flow = np.zeros((10, 10, 2))
    flow[..., 1] = 5
    inside = consistent(flow, -flow, 1)
    assert inside[:, :5].all()
    assert not inside[:, 5:].any()
    assert not consistent(flow, flow, 9).any()


def test_pairs_can_be_listed(kit, tmp_path):
    listed = tmp_path / 'list.json'
    listed.write_text(json.dumps([{'group': 'JODS', 'name': 'two'}]))
    assert [pair.name for pair in read_flow_pairs(kit, listed)] == ['two']
    listed.write_text(json.dumps([{'group': 'JODS', 'name': 'none'}]))
    with pytest.raises(InputError, match='there is no folder'):
        read_flow_pairs(kit, listed)
    listed.write_text('{}x')
    with pytest.raises(InputError, match='JSON list'):
        read_flow_pairs(kit, listed)
    with pytest.raises(InputError, match='does not hold the TSS kit'):
        read_flow_pairs(tmp_path / 'empty')


def test_damaged_flow_files(kit, tmp_path):
    damaged = tmp_path / 'flow1.npz'
    damaged.write_bytes(b'not a zip')
    with pytest.raises(InputError, match='flow32'):
        read_flow(damaged)
    np.savez(damaged, other=np.zeros(3))
    with pytest.raises(InputError, match='flow32'):
        read_flow(damaged)
    (kit / 'Dataset' / 'FG3DCar' / 'one' / 'flow2.flo').unlink()
    with pytest.raises(InputError, match=r'no file .*flow2\.flo or \.npz'):
        Flow(read_flow_pairs(kit)).load(0)


def test_scores_of_the_kit_are_reproduced(data_root):
    kit = data_root / 'eval' / 'tss-sample'
    results = kit / 'Results'
    pairs = with_estimates(read_flow_pairs(kit), results)
    outcome = run_benchmark(Flow(pairs), [Estimates(results)])
    with (results / 'JODS' / 'scores.csv').open() as file:
        published = list(csv.DictReader(file))
    assert [pair.name for pair in pairs] == ['car_01_02', 'car_03_04']
    for index, pair in enumerate(pairs):
        # The kit gives both directions of a pair one after the other.
        rows = [row for row in published if row['Row'] == f'{pair.name}_1to2']
        scores = outcome.scores['estimates'][index]
        for ours, theirs in (('t5', 'T5'), ('iou', 'SegIUR')):
            mean = np.mean([float(row[theirs]) for row in rows])
            assert scores[ours] == pytest.approx(mean, abs=0.002)
