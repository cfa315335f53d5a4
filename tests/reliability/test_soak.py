"""The soak run finds nothing, and would find something if there were."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from soak import cli, trials
from soak.__main__ import main
from soak.cli import soak
from soak.images import blobs
from soak.leaks import Meter

from napari_samnet.matching.match import match

pytestmark = pytest.mark.slow


def test_random_runs_with_faults_are_as_promised() -> None:
    report = soak(runs=10, seed=3)
    assert report.failures == []
    assert report.runs == 10
    assert 3 < report.faults < 10
    assert len(report.trials) > 4


def test_60_runs_take_no_more_memory(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    for run in range(60):
        sides = 40 + run % 7, 50 + run % 5
        match(
            blobs(sides, 3, run),
            blobs(sides[::-1], 1, run)[..., 0],
            size=64,
            window=5,
            iterations=1,
            device='cpu',
            precision='fp32',
            attributes=run % 2 == 0,
        )
        if run % 5 == 4:
            meter.sample(run)
    assert meter.leaks() == []


class TestFinds:
    def run(
        self, monkeypatch: pytest.MonkeyPatch, trial: Any, runs: int = 20
    ) -> Any:
        monkeypatch.setattr(trials, 'TRIALS', {trial: 1.0})
        monkeypatch.setattr(cli, 'WARM', 0)
        return soak(runs=runs, seed=0)

    def test_a_broken_promise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(rng: Any, folder: Path) -> None:
            trials.demand(rng.random() < 0.5, 'a coin fell')

        report = self.run(monkeypatch, broken)
        assert 3 < len(report.failures) < 18
        assert 'a coin fell' in report.failures[0]
        again = self.run(monkeypatch, broken)
        assert [x[:9] for x in again.failures] == [
            x[:9] for x in report.failures
        ]

    def test_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kept = []

        def leaking(rng: Any, folder: Path) -> None:
            kept.append(np.ones(1 << 19))

        report = self.run(monkeypatch, leaking)
        assert 'memory grew' in report.leaks[0]
        assert report.slope == pytest.approx(2**22, rel=0.2)

    def test_threads_and_files(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        end, held = threading.Event(), []

        def leaking(rng: Any, folder: Path) -> None:
            threading.Thread(target=end.wait, daemon=True).start()
            held.append(open(__file__))  # noqa: SIM115

        report = self.run(monkeypatch, leaking)
        end.set()
        for file in held:
            file.close()
        assert [x.partition(':')[0] for x in report.leaks] == [
            'threads',
            'files',
        ]

    def test_temporary_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import tempfile

        def leaking(rng: Any, folder: Path) -> None:
            tempfile.mkdtemp(prefix='left')

        report = self.run(monkeypatch, leaking, runs=15)
        assert report.leaks[0].startswith('temporary files: left')


def test_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(['soak', '--runs', '2', '--no-faults', '--json'])
    facts = json.loads(capsys.readouterr().out)
    assert status == 0, facts
    assert facts['runs'] == 2
    assert facts['faults'] == 0
    assert main(['soak', '--minutes', '0']) == 2
    assert main(['soak', '--runs', '0']) == 2
