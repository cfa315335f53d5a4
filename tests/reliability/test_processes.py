"""Processes made from one that has matched: none of them waits for ever."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

#: Two threads of OpenMP, whatever else limits them.
SCRIPT = """
import sys
from multiprocessing import get_context
import numpy as np
import torch
from napari_samnet import match

def work(seed):
    image = np.random.default_rng(seed).random((150, 170, 3))
    found = match(
        image, image[::-1], size=128, window=5, iterations=1, device='cpu',
        precision='fp32',
    )
    return float(np.abs(found.flow).mean())

if __name__ == '__main__':
    torch.set_num_threads(2)
    before = work(0)
    with get_context(sys.argv[1]).Pool(2) as pool:
        found = pool.map(work, [0, 1, 0])
    assert found[0] == found[2] != found[1], found
    assert abs(found[0] - before) < 1e-2, (found, before)
    assert work(0) == before
    assert torch.get_num_threads() == 2
    print('done')
"""


@pytest.mark.parametrize('method', multiprocessing.get_all_start_methods())
def test_a_child_can_match_too(tmp_path: Path, method: str) -> None:
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, '-W', 'ignore', str(script), method],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ended.stdout.strip() == 'done', ended.stderr
