"""``benchmark speed``: every path is run, timed and compared."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from napari_samnet.cli.benchmark import add_parser
from napari_samnet.cli.main import main
from napari_samnet.cli.speed import open_pairs
from napari_samnet.evaluation.protocols.registry import (
    PairRequest,
    open_protocol,
)
from napari_samnet.evaluation.speed import models, variants
from napari_samnet.evaluation.speed.scaling import exponent
from napari_samnet.evaluation.speed.statistics import deviation
from napari_samnet.evaluation.speed.table import as_text
from napari_samnet.images.rgb import to_working
from napari_samnet.matching.match import match
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.memory import peak_mb, reset_peak

SMALL = ('--size', '64', '--window', '5', '--iterations', '2')
OPTIONS = MatchOptions(size=64, window=5, iterations=2, device='cpu')

#: What differs from the reference by rounding alone.
EXACT = ('banded', 'gather', 'schedule', 'channels_last', 'both')


@pytest.fixture(scope='module')
def measured():
    """One quick run: the object that was printed."""
    with pytest.MonkeyPatch.context() as patch:
        written = []
        patch.setattr('sys.stdout.write', written.append)
        status = main(['benchmark', 'speed', '--quick', *SMALL, '--json'])
    assert status == 0
    assert len(written) == 1
    assert written[0].count('\n') == 1
    return json.loads(written[0])


@pytest.fixture(scope='module')
def pair():
    return open_protocol('synthetic', PairRequest()).load(1)


def run(name, pair, options=OPTIONS):
    """One variant on a pair."""
    known = {v.name: v for v in variants.variants(options)}
    small = tuple(
        to_working(image, size=options.size)
        for image in (pair.source, pair.target)
    )
    return variants.run_variant(
        models.Models(), known[name], small, pair.source
    )


def test_json_has_the_documented_names(measured):
    seconds = measured['seconds']
    for key, name in (
        ('speedup_default', 'default'),
        ('speedup_correspondence_only', 'correspondence_only'),
    ):
        expected = seconds['reference'] / seconds[name]
        assert measured[key] == pytest.approx(expected, rel=0.01)
    assert set(measured['core_seconds']) == set(seconds)
    assert measured['core_speedup']['reference'] == 1
    assert all(value > 0 for value in measured['core_seconds'].values())
    assert ('speedup_int8' in measured) == ('default_int8' in seconds)
    assert set(measured['deviation']) == set(seconds) - {'reference'}
    assert measured['peak_mb'] is None or measured['peak_mb'] > 1
    assert set(measured['sizes']) == {'64'}
    assert set(measured['iterations']) == {'1', '3'}
    assert measured['devices']['cpu']['fp32'] > 0
    assert measured['fresh']['first_s'] > 0
    assert 'mask 1024 array' in measured['labels']
    assert measured['baselines']['tvl1']['seconds'] > 0


def test_exact_paths_differ_by_rounding(measured):
    for name in EXACT:
        apart = measured['deviation'][name]
        assert apart['max_px'] < 0.02
        assert apart['psnr_db'] > 60
        assert abs(apart['epe_change']) < 0.01


def test_stages_add_up(measured):
    for name, stages in measured['stages'].items():
        total = sum(stages.values())
        assert total == pytest.approx(measured['seconds'][name], rel=0.02)
    assert 'decode' not in measured['stages']['correspondence_only']
    assert 'encode' not in measured['stages']['default_cached']


def test_text_has_a_row_per_variant(measured):
    text = as_text(measured)
    for name in measured['texts'].values():
        assert f'| {name} |' in text
    assert '| tvl1 |' in text
    assert 'peak memory on top of torch' in text


def test_reference_is_that_of_match(pair):
    found = run('reference', pair)
    expected = match(
        pair.source,
        pair.target,
        size=64,
        window=5,
        iterations=2,
        device='cpu',
        reference=True,
    )
    np.testing.assert_allclose(found.forward, expected.forward, atol=1e-5)


def test_default_is_that_of_match(pair):
    # Of both directions match stops when their mean comes to rest.
    options = replace(OPTIONS, tolerance=0.0, precision='fp32')
    found = run('default', pair, options)
    expected = match(
        pair.source,
        pair.target,
        size=64,
        window=5,
        iterations=2,
        device='cpu',
        precision='fp32',
        tolerance=0.0,
    )
    np.testing.assert_allclose(found.forward, expected.forward, atol=1e-4)
    assert found.transferred.shape == pair.source.shape


def test_each_variant_runs_its_own_kernels(pair, monkeypatch):
    calls = Counter()

    def counted(name):
        real = getattr(models, name)

        def call(*args, **named):
            calls[name] += 1
            return real(*args, **named)

        monkeypatch.setattr(models, name, call)

    kernels = (
        'local_correlation',
        'local_correlation_reference',
        'blend',
        'blend_reference',
    )
    for name in kernels:
        counted(name)
    found = {}
    for variant in ('reference', 'banded', 'gather'):
        calls.clear()
        run(variant, pair)
        found[variant] = tuple(calls[name] > 0 for name in kernels)
    assert found == {
        'reference': (False, True, False, True),
        'banded': (True, False, False, True),
        'gather': (True, False, True, False),
    }


def test_deviation_sees_another_field(pair):
    reference = run('reference', pair)
    moved = reference._replace(forward=reference.forward + 0.5)
    apart = deviation(moved, reference, 64)
    assert apart['mean_px'] == pytest.approx(64 * np.hypot(0.5, 0.5), rel=1e-3)
    assert apart['psnr_db'] == 120


def test_pairs_of_a_list_are_scored(two_images, write_list):
    pairs = write_list(
        'source,target,XA,YA,XB,YB', 'a.png,b.png,20;40,20;20,10;20,10;10'
    )
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    words = ['--pairs', str(pairs), '--root', str(two_images)]
    protocol = open_pairs(parser.parse_args(['benchmark', 'speed', *words]))
    assert protocol.name == 'keypoints'
    assert len(protocol) == 1
    protocol = open_pairs(parser.parse_args(['benchmark', 'speed']))
    assert protocol.name == 'synthetic'


def test_exponent_of_a_power():
    assert exponent({n: 3 * n**1.5 for n in (10, 40, 90)}) == 1.5
    assert exponent({10: 1.0}) is None


def test_peak_sees_an_array():
    reset_peak()
    before = peak_mb()
    if before is None:
        pytest.skip('this system does not tell')
    np.ones(20_000_000)
    assert peak_mb() - before > 100


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--repeats', '-1'], 'repeats must be at least 1'),
        (['--sizes', '64;128'], 'sizes must be whole numbers'),
        (['--sizes', '100'], 'size must be a multiple of 32'),
        (['--reference'], 'leave out --reference'),
        (['--root', 'nowhere'], 'there is no folder nowhere'),
    ],
)
def test_what_cannot_be_measured_is_one_line(words, message, capsys):
    assert main(['benchmark', 'speed', *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1
