"""``benchmark speed``: every path is run, timed and compared."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from napari_samnet.cli.benchmark import add_arguments
from napari_samnet.cli.main import main
from napari_samnet.cli.speed import open_pairs
from napari_samnet.evaluation.speed.measure import variants
from napari_samnet.evaluation.speed.scaling import exponent
from napari_samnet.evaluation.speed.table import as_text
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.memory import peak_mb, reset_peak

pytestmark = pytest.mark.slow

SMALL = ('--size', '64', '--window', '5', '--iterations', '2')
OPTIONS = MatchOptions(size=64, window=5, iterations=2, device='cpu')


@pytest.fixture(scope='module')
def measured():
    """One quick run: the object that was printed."""
    with pytest.MonkeyPatch.context() as patch:
        written = []
        patch.setattr('sys.stdout.write', written.append)
        status = main(['benchmark', 'speed', '--quick', *SMALL, '--json'])
    assert status == 0
    return json.loads(''.join(written))


def test_json_has_the_documented_names(measured):
    seconds = measured['seconds']
    for key, name in (
        ('speedup_default', 'default'),
        ('speedup_correspondence_only', 'correspondence_only'),
    ):
        expected = seconds['reference'] / seconds[name]
        assert measured[key] == pytest.approx(expected, rel=0.01)
    assert set(measured['core_seconds']) == set(seconds)
    assert all(value > 0 for value in measured['core_seconds'].values())
    assert ('speedup_int8' in measured) == ('default_int8' in seconds)
    assert set(measured['deviation']) == set(seconds) - {'reference'}
    assert measured['peak_mb'] is None or measured['peak_mb'] > 1
    assert set(measured['sizes']) == {'64'}
    assert set(measured['iterations']) == {'1', '3'}
    assert measured['devices']['cpu']['fp32'] > 0
    assert measured['fresh']['first_s'] > 0
    labels = measured['labels']
    assert labels.keys() >= {'mask 1024 array', 'mask 1024 array, outlines'}
    assert measured['batch']['pairs_per_second'] > 0
    assert measured['series']['frames_per_second'] > 0
    assert measured['baselines']['tvl1']['seconds'] > 0


def test_stages_are_those_of_the_match(measured):
    for name, stages in measured['stages'].items():
        # These run beside others where there are two cores.
        beside = {'judge', 'labels'}
        total = sum(stages[stage] for stage in stages.keys() - beside)
        assert total <= measured['seconds'][name] + 0.01
    assert 'decode' in measured['stages']['reference']
    assert 'recolor' not in measured['stages']['correspondence_only']
    encode = {n: s['encode'] for n, s in measured['stages'].items()}
    assert encode['default_cached'] < encode['default']


def test_variants_are_options_of_a_match():
    known, missing = variants(OPTIONS)
    by_name = {variant.name: variant.options for variant in known}
    assert by_name['default'] == OPTIONS
    assert by_name['reference'].reference
    assert not by_name['correspondence_only'].attributes
    assert by_name['default_fp32'].precision == 'fp32'
    assert not set(by_name) & set(missing)


def test_text_has_a_row_per_variant(measured):
    text = as_text(measured)
    for name in measured['texts'].values():
        assert f'| {name} |' in text
    assert '| tvl1 |' in text
    assert 'peak memory on top of torch' in text


def test_pairs_of_a_list_are_scored(two_images, write_list):
    pairs = write_list(
        'source,target,XA,YA,XB,YB', 'a.png,b.png,20;40,20;20,10;20,10;10'
    )
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = ['--pairs', str(pairs), '--root', str(two_images)]
    protocol = open_pairs(parser.parse_args(['speed', *words]))
    assert protocol.name == 'keypoints'
    assert len(protocol) == 1
    protocol = open_pairs(parser.parse_args(['speed']))
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
        (['--reference-operators'], 'leave out --reference-operators'),
        (['--root', 'nowhere'], 'there is no folder nowhere'),
    ],
)
def test_what_cannot_be_measured_is_one_line(words, message, capsys):
    assert main(['benchmark', 'speed', *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1
