"""What is remembered, and what happens where nothing can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from napari_samnet.options import (
    CHOICES,
    DEFAULTS,
    LIMITS,
    SIZE_STEP,
    seen_defaults,
)
from napari_samnet.plugin.transfer.settings import (
    KEPT,
    load_settings,
    save_settings,
)

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
    assert properties['size']['multiple_of'] == SIZE_STEP


@needs_preferences
def test_values_are_remembered() -> None:
    save_settings({'window': 7, 'device': 'cpu', 'tolerance': 3.0})
    values = load_settings()
    assert (values['window'], values['device']) == (7, 'cpu')
    assert values['tolerance'] == DEFAULTS.tolerance


@needs_preferences
def test_a_new_widget_shows_them(ready: Any, make_widget: Any) -> None:
    ready.run(wait=True, timeout=60)
    from napari_samnet.plugin.transfer.widget import SemanticTransfer

    fresh = SemanticTransfer(ready.viewer)
    assert fresh.options.size == 64
    assert fresh.options.iterations == 2
    fresh.deleteLater()


@needs_preferences
def test_a_run_that_failed_is_not_remembered(ready: Any) -> None:
    from napari_samnet.errors import InputError

    ready.set_options(weights='/nowhere/mine.safetensors')
    with pytest.raises(InputError):
        ready.run(wait=True, timeout=60)
    assert load_settings()['weights'] == DEFAULTS.weights


@needs_preferences
def test_values_that_do_not_fit_together_are_passed_over() -> None:
    save_settings({'window': 21, 'size': 64})
    assert load_settings() == seen_defaults()


def test_without_preferences_the_defaults_stand(monkeypatch: Any) -> None:
    monkeypatch.setattr(
        'napari_samnet.plugin.transfer.settings._page', lambda: None
    )
    save_settings({'window': 7})
    assert load_settings() == seen_defaults()


def test_an_older_napari_has_none(monkeypatch: Any) -> None:
    import napari.settings

    monkeypatch.delattr(napari.settings, 'get_plugin_settings', raising=False)
    assert load_settings() == seen_defaults()
