"""The manifest, and what opening things costs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from napari.components import ViewerModel

from napari_samnet.datasets.samples import SAMPLES, load_sample


def test_manifest_is_valid_and_everything_can_be_imported() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution('napari-samnet')
    manifest.validate_imports()
    # Or a script and the menu would open two docks.
    assert manifest.display_name == manifest.name


def test_contributed_menus_exist() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution('napari-samnet')
    menus = manifest.contributions.menus
    assert set(menus) == {'napari/layers/register', 'napari/layers/segment'}
    commands = {command.id for command in manifest.contributions.commands}
    for items in menus.values():
        assert {item.command for item in items} <= commands


@pytest.mark.slow
@pytest.mark.parametrize('name', SAMPLES)
def test_samples_open_side_by_side(viewer: ViewerModel, name: str) -> None:
    viewer.open_sample('napari-samnet', name)
    pair = load_sample(name)
    source, labels, target = viewer.layers
    assert source.data.shape == pair.source.shape
    assert labels.data.shape == pair.source.shape[:2]
    assert target.extent.world[0, 1] > source.extent.world[1, 1]
    assert list(labels.features['name'])[1:] == list(pair.label_names)


def test_every_sample_is_in_the_menu() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution('napari-samnet')
    keys = {sample.key for sample in manifest.contributions.sample_data}
    assert keys == {*SAMPLES, 'brain'}


OPEN = """
import sys
import napari.layers
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication

app = QApplication([])
viewer = ViewerModel()
from napari_samnet.plugin.transfer.widget import SemanticTransfer
widget = SemanticTransfer(viewer)
widget.show()
app.processEvents()
assert 'torch' not in sys.modules, 'torch was imported'
assert 'torchvision' not in sys.modules
"""


@pytest.mark.slow
def test_opening_does_not_import_torch() -> None:
    environment = {**os.environ, 'QT_QPA_PLATFORM': 'offscreen'}
    environment.pop('DISPLAY', None)
    done = subprocess.run(
        [sys.executable, '-c', OPEN],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_package_imports_without_napari_and_qt() -> None:
    code = (
        'import sys, napari_samnet, napari_samnet.plugin\n'
        'import napari_samnet.cli.main\n'
        'bad = {"napari", "qtpy", "torch"} & set(sys.modules)\n'
        'assert not bad, bad'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=120)


def test_readers_do_not_import_qt() -> None:
    code = (
        'import sys, napari_samnet.plugin.contributions.readwrite\n'
        'bad = {"napari", "qtpy", "torch"} & set(sys.modules)\n'
        'assert not bad, bad'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=120)


def test_public_names() -> None:
    import napari_samnet.plugin as plugin

    for name in plugin.__all__:
        assert getattr(plugin, name) is not None
    missing: Any = 'nothing'
    with pytest.raises(AttributeError, match='nothing'):
        getattr(plugin, missing)
