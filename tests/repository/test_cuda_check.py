"""What measures graphics cards works, as far as that shows without one."""

from __future__ import annotations

import json

import cuda_check
import pytest


def check(device: str = 'cpu') -> cuda_check.Check:
    return cuda_check.Check(device, 96, 2, 1)


def test_limits_count_on_a_card_alone() -> None:
    one = check()
    one.judge('match_ms', 1e6)
    assert one.failed == []
    card = check('cuda')
    assert card.judge('match_ms', 2.0) == 2.0
    assert card.judge('pairs_per_second', 2000.0) == 2000.0
    assert card.failed == []
    card.judge('pairs_per_second', 10.0)
    card.judge('network_ms', 30.0)
    assert [text.split()[0] for text in card.failed] == [
        'pairs_per_second',
        'network_ms',
    ]


def test_a_part_that_fails_stops_nothing() -> None:
    one = check()

    def broken() -> dict[str, float]:
        raise RuntimeError('no kernel image')

    one.run('first', broken)
    one.run('second', lambda: {'ms': 1.0})
    assert one.failed == ['first']
    assert one.result['first']['error'] == 'RuntimeError: no kernel image'
    assert one.result['second']['ms'] == 1.0
    one.started -= 1000
    one.run('third', lambda: {'ms': 1.0})
    assert one.result['third'] == 'no time was left'


def test_the_network_is_timed_on_any_device() -> None:
    figures = cuda_check.network(check())
    assert figures['network_ms'] > figures['encode_ms'] > 0


@pytest.mark.slow
def test_all_parts_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert cuda_check.main(['--device', 'cpu', '--quick']) == 0
    result = json.loads(capsys.readouterr().out)
    assert result['equality']['fp32_mean_px'] < 1e-3
    assert result['batch']['pairs_per_second'] > 0
    assert result['failed'] == []
