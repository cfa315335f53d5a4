"""What is remembered, and what happens where nothing can be."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from napari_samnet.options import (
    CHOICES,
    DEFAULTS,
    LIMITS,
    SIZE_STEP,
    visible_defaults,
)
from napari_samnet.plugin.transfer.settings import (
    KEPT,
    load_settings,
)
from napari_samnet.plugin.widgets.fields import LABELS as FIELD_NAMES


def save_settings(values: dict[str, Any]) -> None:
    """Set napari's preferences of the plugin, as its dialog does."""
    from napari.settings import get_plugin_settings

    page = get_plugin_settings('napari-samnet').matching
    for name in values.keys() & set(KEPT):
        setattr(page, name, values[name])


MANIFEST = Path(__file__).parents[3] / 'src/napari_samnet/napari.yaml'


@pytest.fixture
def properties() -> dict[str, Any]:
    content = yaml.safe_load(MANIFEST.read_text(encoding='utf-8'))
    page = content['contributions']['configurations']['matching']
    return dict(page['properties'])


def has_preferences() -> bool:
    try:
        from napari.settings import get_plugin_settings  # noqa: F401
    except ImportError:
        return False
    return True


needs_preferences = pytest.mark.skipif(
    not has_preferences(), reason='napari has no plugin preferences'
)


def test_manifest_says_what_the_options_say(
    properties: dict[str, Any],
) -> None:
    assert set(properties) == set(KEPT)
    for name, entry in properties.items():
        assert entry['default'] == getattr(DEFAULTS, name)
        if name in LIMITS:
            assert (entry['minimum'], entry['maximum']) == LIMITS[name]
        if name in CHOICES:
            assert tuple(entry['enum']) == CHOICES[name]
        assert entry['title'] == FIELD_NAMES[name]
    assert properties['size']['multiple_of'] == SIZE_STEP


@needs_preferences
def test_values_are_remembered() -> None:
    save_settings({'window': 7, 'device': 'cpu', 'tolerance': 3.0})
    values = load_settings()
    assert (values['window'], values['device']) == (7, 'cpu')
    assert values['tolerance'] == DEFAULTS.tolerance


@pytest.mark.slow
@needs_preferences
def test_a_run_leaves_them_alone(ready: Any) -> None:
    from napari_samnet.plugin.transfer.widget import SemanticTransfer

    save_settings({'window': 7})
    before = load_settings()
    ready.set_options(window=5)
    ready.run(wait=True, timeout=60)
    assert load_settings() == before
    fresh = SemanticTransfer(ready.viewer)
    assert fresh.options.window == 7
    fresh.deleteLater()


@needs_preferences
def test_an_open_dock_follows_them(ready: Any) -> None:
    ready.set_options(iterations=4)
    save_settings({'window': 7})
    assert ready.options.window == 7
    # What was not changed there stays as it was set here.
    assert ready.options.iterations == 4
    ready.hide()
    save_settings({'window': 5})
    assert ready.options.window == 7


@needs_preferences
@pytest.mark.parametrize(
    ('given', 'taken'),
    [
        ({'window': 8}, {'window': 7}),
        ({'window': 21, 'size': 64}, {'window': 7, 'size': 64}),
        ({'window': 4}, {'window': 3}),
        ({'weights': ''}, {'weights': ''}),
    ],
)
def test_a_wrong_value_is_corrected_alone(
    given: dict[str, Any], taken: dict[str, Any]
) -> None:
    save_settings({'iterations': 5, 'device': 'cpu', **given})
    wanted = {'iterations': 5, 'device': 'cpu', **taken}
    values = load_settings()
    assert {name: values[name] for name in wanted} == wanted


def test_a_value_without_sense_is_passed_over_alone(monkeypatch: Any) -> None:
    page = SimpleNamespace(
        **{**visible_defaults(), 'window': 7, 'size': 250, 'device': 'abacus'}
    )
    monkeypatch.setattr(
        'napari_samnet.plugin.transfer.settings._page', lambda: page
    )
    values = load_settings()
    assert (values['window'], values['size']) == (7, 256)
    assert values['device'] == DEFAULTS.device


def test_without_preferences_the_defaults_stand(monkeypatch: Any) -> None:
    monkeypatch.setattr(
        'napari_samnet.plugin.transfer.settings._page', lambda: None
    )
    save_settings({'window': 7})
    assert load_settings() == visible_defaults()


def test_an_older_napari_has_none(monkeypatch: Any) -> None:
    import napari.settings

    monkeypatch.delattr(napari.settings, 'get_plugin_settings', raising=False)
    assert load_settings() == visible_defaults()
