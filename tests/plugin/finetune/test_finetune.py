"""Fine-tuning from the dock: what is trained on, stopped, kept and offered."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import psutil
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from PIL import Image
from qtpy.QtCore import Qt

from napari_samnet.cli.main import main
from napari_samnet.errors import InputError
from napari_samnet.files import HOME_VARIABLE
from napari_samnet.options import parameter_text
from napari_samnet.plugin.finetune.images import FolderImages, LayerImages
from napari_samnet.plugin.finetune.job import FineTuneRequest, summary
from napari_samnet.plugin.finetune.widget import FineTune
from napari_samnet.plugin.model.capture import stack_of
from napari_samnet.plugin.transfer.widget import SemanticTransfer
from napari_samnet.plugin.widgets.fields import tooltip
from napari_samnet.runtime.weights import available_weights
from napari_samnet.training.estimate import Timetable, duration
from napari_samnet.training.keeping import HeldOut
from napari_samnet.training.options import (
    FINE_TUNING_DEFAULTS,
    TrainingOptions,
)
from napari_samnet.training.process import Trained
from napari_samnet.training.runs import (
    Progress,
    made_steps,
    own_run,
    unfinished_runs,
)

WAIT = 180.0
#: A run that takes seconds, once it has begun.
TINY: dict[str, Any] = {
    'matcher_steps': 0,
    'decoder_steps': 1,
    'decoder_batch': 1,
    'crop': 32,
    # A search window of nine cells must fit.
    'size': 96,
    'pairs': 2,
    'iterations': 1,
    'matcher_batch': 1,
    'device': 'cpu',
    'precision': 'fp32',
}
if 'category_steps' in vars(FINE_TUNING_DEFAULTS):
    TINY['category_steps'] = 0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, also for temporary files; quick children."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / 'home'))
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
    return tmp_path / 'home'


@pytest.fixture
def make(qtbot: Any) -> Iterator[Callable[[Any], FineTune]]:
    """Shown docks, waited for at the end."""
    made = []

    def make(viewer: Any) -> FineTune:
        widget = FineTune(viewer)
        widget.show()
        made.append(widget)
        return widget

    yield make
    for widget in made:
        widget.cancel()
        qtbot.waitUntil(lambda w=widget: not w.running, timeout=60_000)
        widget.close()
        widget.deleteLater()
    assert children() == []


@pytest.fixture
def ready(
    viewer: ViewerModel, photos: Any, make: Callable[[Any], FineTune]
) -> FineTune:
    """A dock with a photo and a stack of two planes, and a short recipe."""
    viewer.add_image(photos[0], name='photo')
    viewer.add_image(np.stack([photos[1][..., 0]] * 2), name='stack')
    widget = make(viewer)
    widget.set_options(**TINY)
    return widget


def children() -> list[psutil.Process]:
    """Processes that train."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() == psutil.STATUS_ZOMBIE
        or 'napari_samnet' in child.cmdline()
    ]


def write_folder(folder: Path, count: int) -> Path:
    """A folder of small pictures."""
    (folder / 'inner').mkdir(parents=True)
    for number in range(count):
        picture = np.full((20, 30, 3), 40 * number, np.uint8)
        Image.fromarray(picture).save(folder / 'inner' / f'{number}.png')
    return folder


class TestImages:
    def test_every_plane_is_an_image(self, ready: FineTune) -> None:
        assert ready.panel.images.count.text() == '3 images in 2 layers'
        ready.set_layers('stack')
        assert ready.panel.images.count.text() == '2 images in 1 layer'
        assert ready.reason == ''

    def test_planes_are_written_one_by_one(
        self, viewer: ViewerModel, photos: Any, tmp_path: Path
    ) -> None:
        read = []

        class Lazy:
            """A stack that tells which plane is read."""

            shape, dtype, ndim = (2, 3, 40, 50), np.dtype(np.uint16), 4

            def __getitem__(self, index: Any) -> np.ndarray:
                read.append(index)
                rng = np.random.default_rng(sum(index))
                return rng.integers(0, 60_000, (40, 50)).astype(np.uint16)

        color = stack_of(viewer.add_image(photos[0], name='photo'))
        gray = stack_of(viewer.add_image(np.zeros((2, 3, 40, 50))))
        lazy = type(gray)(
            name='lazy',
            uid=1,
            data=Lazy(),
            rgb=False,
            grid=gray.grid,
        )
        images = LayerImages((color, lazy))
        assert images.count == 7
        steps = images.write(tmp_path, 64, Event())
        assert [next(steps), next(steps)] == [1, 2]
        # Nothing is read before its turn.
        assert read == [(0, 0)]
        assert list(steps) == [3, 4, 5, 6, 7]
        files = sorted(tmp_path.glob('*.png'))
        assert len(files) == 7
        for file in files:
            with Image.open(file) as image:
                assert image.size == (64, 64)
                assert image.mode == 'RGB'

    def test_stopped_between_planes(
        self, viewer: ViewerModel, tmp_path: Path
    ) -> None:
        stack = stack_of(viewer.add_image(np.zeros((5, 30, 30))))
        stop = Event()
        steps = LayerImages((stack,)).write(tmp_path, 64, stop)
        assert next(steps) == 1
        stop.set()
        assert list(steps) == []
        assert len(list(tmp_path.glob('*.png'))) == 1

    def test_selected_layers_come_first(
        self, viewer: ViewerModel, photos: Any, make: Any
    ) -> None:
        layers = [viewer.add_image(photos[0]) for _ in range(3)]
        viewer.layers.selection = set(layers[1:])
        widget = make(viewer)
        assert widget.panel.images.count.text() == '2 images'
        item = widget.panel.images.list.item(0)
        assert item.checkState() == Qt.CheckState.Unchecked
        item.setCheckState(Qt.CheckState.Checked)
        assert widget.panel.images.count.text() == '3 images'

    def test_layers_are_followed(
        self, ready: FineTune, viewer: ViewerModel, photos: Any
    ) -> None:
        rows = ready.panel.images.list
        viewer.layers['photo'].name = 'renamed'
        assert rows.item(0).text() == 'renamed'
        assert rows.item(1).text() == 'stack (2 planes)'
        del viewer.layers['stack']
        assert 'at least two' in ready.reason
        viewer.add_image(photos[1], name='new')
        assert ready.reason == ''

    def test_results_are_not_learnt_from(
        self, ready: FineTune, viewer: ViewerModel, photos: Any
    ) -> None:
        viewer.add_image(
            photos[0], name='result', metadata={'napari-samnet': {}}
        )
        item = ready.panel.images.list.item(2)
        assert item.text() == 'result'
        assert item.checkState() == Qt.CheckState.Unchecked

    def test_a_folder(self, ready: FineTune, tmp_path: Path) -> None:
        ready.set_folder(write_folder(tmp_path / 'my sections!', 3))
        assert ready.panel.images.count.text() == '3 images'
        assert not ready.panel.images.list.isVisibleTo(ready)
        assert ready.name == 'my-sections'
        assert ready.reason == ''

    @pytest.mark.parametrize('count', [0, 1])
    def test_too_few_are_refused(
        self, ready: FineTune, tmp_path: Path, count: int
    ) -> None:
        folder = write_folder(tmp_path / 'few', count)
        with pytest.raises(InputError, match=f'at least 2 .* got {count}'):
            ready.set_folder(folder)
        with pytest.raises(InputError, match='no folder'):
            ready.set_folder(tmp_path / 'nothing')
        ready.set_layers('photo')
        assert 'at least two images' in ready.reason
        assert ready.message == ready.reason
        assert not ready.panel.footer.run.isEnabled()
        with pytest.raises(InputError, match='at least two'):
            ready.run()


class TestForm:
    def test_texts_and_defaults_are_those_of_the_recipe(
        self, ready: FineTune, make: Any, viewer: ViewerModel
    ) -> None:
        fields = ready.panel.options
        for name in fields:
            text = parameter_text(name, TrainingOptions)
            assert fields.native(name).toolTip() == tooltip(text)
        fresh = make(viewer)
        assert fresh.options == FINE_TUNING_DEFAULTS
        ready.panel.reset.click()
        assert ready.options == FINE_TUNING_DEFAULTS

    @pytest.mark.parametrize(
        ('name', 'said'),
        [
            ('', 'The name must'),
            ('../up', 'The name must'),
            ('samnet', 'packaged'),
        ],
    )
    def test_names_that_cannot_be(
        self, ready: FineTune, name: str, said: str
    ) -> None:
        ready.set_name(name)
        assert said in ready.reason
        assert not ready.panel.footer.run.isEnabled()

    def test_no_steps_are_refused(self, ready: FineTune) -> None:
        ready.set_options(matcher_steps=0, decoder_steps=0)
        assert ready.reason == 'Choose how many steps to train'

    def test_wrong_options_are_refused(self, ready: FineTune) -> None:
        with pytest.raises(InputError, match='no option speed'):
            ready.set_options(speed=2)
        with pytest.raises(InputError, match='size must'):
            ready.set_options(size=100)
        assert ready.options.size == TINY['size']

    def test_the_dock_says_what_to_expect(
        self, ready: FineTune, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hope = ready.panel.hope
        assert hope.isVisible()
        assert 'a little better by this' in hope.text()
        # The command that it names is there.
        program, command, flag = hope.text().split()[-3:]
        assert program == 'napari-samnet'
        with pytest.raises(SystemExit):
            main([command, '--help'])
        assert f'{flag} DIR' in capsys.readouterr().out

    def test_the_estimate_follows_the_fields(self, ready: FineTune) -> None:
        ready.panel.reset_fields()
        few = ready.panel.estimate.text()
        ready.set_options(matcher_steps=10_000)
        assert few != ready.panel.estimate.text()
        assert 'hours' in ready.panel.estimate.text()


@pytest.mark.slow
class TestRuns:
    def test_what_was_learnt_is_offered_by_the_other_dock(
        self,
        ready: FineTune,
        viewer: ViewerModel,
        home: Path,
        make_widget: Callable[..., Any],
        tmp_path: Path,
    ) -> None:
        transfer = make_widget(viewer)
        chooser = transfer.panel.options.native('weights')
        ready.set_name('mine')
        ready.run()
        assert not ready.panel.footer.run.isEnabled()
        # What happens to the layers meanwhile does not matter.
        viewer.layers['stack'].name = 'renamed'
        trained = ready.wait(WAIT)
        assert trained is not None
        assert trained.finished
        assert trained.weights == str(home / 'weights/mine.safetensors')
        assert ready.message == "Saved as 'mine'."
        assert ready.panel.loss.values
        assert ready.panel.footer.run.isEnabled()
        # The next network is another one, and nothing is left behind.
        assert ready.name == 'my-images'
        assert unfinished_runs() == ()
        assert list((tmp_path / 'temporary').iterdir()) == []
        ready.set_name('mine')
        assert "are weights 'mine' already" in ready.reason
        # At once, in a dock that was open before.
        chooser.combo.showPopup()
        chooser.combo.hidePopup()
        names = [
            chooser.combo.itemText(n) for n in range(chooser.combo.count())
        ]
        assert names == ['samnet', 'paper', 'mine']
        chooser.value = 'mine'
        found = transfer.run(wait=True, timeout=WAIT)
        assert found.metadata['weights']['name'] == 'mine'

    @pytest.mark.skipif(os.name != 'posix', reason='uses signals')
    def test_steps_on_pairs_learn_between_the_images(
        self, ready: FineTune, viewer: ViewerModel, photos: Any
    ) -> None:
        views = [np.roll(photos[0], 4 * k, axis=1) for k in range(6)]
        ready.set_layers(viewer.add_image(np.stack(views), name='views'))
        ready.set_name('mine')
        ready.set_options(decoder_steps=0, category_steps=2, category_batch=1)
        said: list[str] = []
        ready._tasks.runner.reported.connect(lambda x: said.append(x.text))
        trained = ready.run(wait=True, timeout=WAIT)
        assert trained is not None
        assert trained.finished
        assert trained.pairs is not None
        assert any('pairs, step 2 of 2' in text for text in said)
        assert 'Error between images' in ready.message

    def test_stopped_it_goes_on_and_survives_a_kill(
        self, ready: FineTune, qtbot: Any, viewer: ViewerModel, home: Path
    ) -> None:
        def at_step(step: int) -> None:
            qtbot.waitUntil(
                lambda: len(ready.panel.loss.values) >= step,
                timeout=round(1000 * WAIT),
            )

        ready.set_options(
            decoder_steps=0, matcher_steps=400, matcher_rate=1e-3
        )
        ready.set_name('mine')
        ready.run()
        at_step(2)
        assert ready.panel.error.values
        assert ready.panel.error.level == ready.panel.error.values[0]
        ready.panel.footer.cancel.click()
        assert ready.panel.footer.cancel.text() == 'Cancelling…'
        trained = ready.wait(WAIT)
        assert trained is not None
        made = made_steps(own_run('mine'))['matcher']
        assert not trained.finished
        assert 2 <= made < 400
        assert ready.message.startswith(f'Stopped after step {made} of 400.')
        assert ('mine' in available_weights()) == bool(trained.weights)
        # The same name goes on, with the options that it was begun with.
        assert ready.name == 'mine'
        assert ready.reason == ''
        assert ready.panel.footer.run.text() == 'Go on'
        assert ready.panel.so_far.text() == f'Stopped at step {made} of 400'
        assert not ready.panel.options.native('size').isEnabled()
        ready.set_name('other')
        assert ready.panel.footer.run.text() == 'Fine-tune'
        assert ready.panel.options.native('size').isEnabled()
        ready.set_name('mine')
        ready.run()
        at_step(1)
        assert ready.panel.error.values
        (child,) = children()
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(InputError, match='SIGKILL'):
            ready.wait(WAIT)
        assert 'ended from outside' in ready.message
        assert ready.panel.footer.run.isEnabled()
        assert ready.panel.footer.run.text() == 'Go on'
        # Its weights of before are as they were.
        assert ('mine' in available_weights()) == bool(trained.weights)
        ready.panel.over.click()
        assert not own_run('mine').exists()
        assert ready.panel.footer.run.text() == 'Fine-tune'

    def test_an_error_is_one_notification(
        self, ready: FineTune, qtbot: Any
    ) -> None:
        ready.set_options(start='missing')
        notification_manager.records.clear()
        ready.run()
        qtbot.waitUntil(lambda: not ready.running, timeout=round(1000 * WAIT))
        (record,) = notification_manager.records
        assert record.message.startswith('Weights must be one of')
        assert ready.message == record.message
        assert ready.panel.footer.run.isEnabled()
        # The option can be put right: there is nothing to go on with.
        assert ready.panel.footer.run.text() == 'Fine-tune'
        assert ready.panel.options.native('start').isEnabled()
        notification_manager.records.clear()

    def test_other_images_do_not_go_on(
        self, ready: FineTune, tmp_path: Path
    ) -> None:
        folder = own_run('mine')
        folder.mkdir(parents=True)
        options = vars(TrainingOptions(**{**TINY, 'start': 'samnet'}))
        (folder / 'options.json').write_text(json.dumps(options))
        (folder / 'images.json').write_text(json.dumps('other'))
        ready.set_name('mine')
        assert ready.panel.footer.run.text() == 'Go on'
        with pytest.raises(InputError, match='begun with other images'):
            ready.run(wait=True, timeout=WAIT)
        assert folder.exists()


class TestTexts:
    @pytest.mark.parametrize(
        ('trained', 'said'),
        [
            (
                Trained(True, 'x', HeldOut(2.0, 1.5, 1.5)),
                "Held-out error 2.00 → 1.50 px (25 % less). Saved as 'mine'.",
            ),
            (
                Trained(True, '', HeldOut(2.0, 2.1, 2.0)),
                'Held-out error 2.00 px before, 2.10 px after: the weights '
                'of before are kept. Nothing better to save.',
            ),
            (
                Trained(
                    True,
                    'x',
                    HeldOut(2.0, 1.5, 1.5),
                    HeldOut(4.0, 5.0, 4.0),
                ),
                'Held-out error 2.00 → 1.50 px (25 % less). Error between '
                'images 4.00 px before, 5.00 px after: the weights of '
                "before are kept. Saved as 'mine'.",
            ),
            (
                Trained(False, '', None),
                'Stopped after step 7 of 100. Nothing better to save.',
            ),
        ],
    )
    def test_it_tells_what_has_improved(
        self, trained: Trained, said: str, tmp_path: Path
    ) -> None:
        options = TrainingOptions(
            **{**TINY, 'decoder_steps': 0, 'matcher_steps': 100}
        )
        request = FineTuneRequest(FolderImages(tmp_path), 'mine', options)
        assert summary(request, trained, 7) == said

    def test_the_share_never_falls_and_ends_at_one(self) -> None:
        table = Timetable(FINE_TUNING_DEFAULTS)
        shares = [table.share]
        total = FINE_TUNING_DEFAULTS.pairs + FINE_TUNING_DEFAULTS.checked
        for stage, steps in (
            ('pairs', total),
            *FINE_TUNING_DEFAULTS.steps.items(),
        ):
            for step in range(1, steps + 1):
                losses = {} if stage == 'pairs' else {'epe1': 1.0}
                table.follow(Progress(stage, step, steps, losses, 0.0))
                shares.append(table.share)
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(1)
        assert table.left(100.0) == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize(
        ('seconds', 'text'),
        [
            (20, 'under a minute'),
            (70, 'about a minute'),
            (200, 'about 3 minutes'),
            (20_000, 'about 6 hours'),
        ],
    )
    def test_durations(self, seconds: float, text: str) -> None:
        assert duration(seconds) == text


@pytest.mark.slow
@pytest.mark.gui
def test_closing_the_window_ends_the_child(
    make_napari_viewer_proxy: Callable[..., Any],
    photos: Any,
    qtbot: Any,
    tmp_path: Path,
) -> None:
    window = make_napari_viewer_proxy()
    for number, photo in enumerate(photos):
        window.add_image(photo, name=f'photo {number}')
    frame, tuning = window.window.add_plugin_dock_widget(
        'napari-samnet', 'Fine-tune on my images'
    )
    # Napari hands out a proxy of some widgets.
    assert type(tuning).__name__ == 'FineTune'
    area = frame.parent().dockWidgetArea(frame)
    assert area == Qt.DockWidgetArea.RightDockWidgetArea
    tuning.set_options(**{**TINY, 'decoder_steps': 0, 'matcher_steps': 400})
    tuning.set_name('mine')
    tuning.run()
    qtbot.waitUntil(
        lambda: len(tuning.panel.loss.values) > 0, timeout=round(1000 * WAIT)
    )
    (child,) = children()
    window.close()
    qtbot.waitUntil(lambda: not child.is_running(), timeout=60_000)
    qtbot.waitUntil(
        lambda: list((tmp_path / 'temporary').iterdir()) == [],
        timeout=60_000,
    )
    # In good order: what was learnt is there to go on with.
    assert made_steps(own_run('mine'))['matcher'] > 0
    assert unfinished_runs() == ('mine',)


@pytest.mark.slow
@pytest.mark.gui
def test_new_weights_go_to_the_other_dock(
    make_napari_viewer_proxy: Callable[..., Any], home: Path
) -> None:
    from napari_samnet.runtime.weights import get_weights

    window = make_napari_viewer_proxy()
    _, tuning = window.window.add_plugin_dock_widget(
        'napari-samnet', 'Fine-tune on my images'
    )
    with pytest.raises(InputError, match='nothing was saved'):
        tuning.use()
    (home / 'weights').mkdir(parents=True)
    path = home / 'weights/mine.safetensors'
    path.write_bytes(get_weights('samnet').path.read_bytes())
    tuning._trained = Trained(True, str(path), None)
    tuning.use()
    _, transfer = window.window.add_plugin_dock_widget(
        'napari-samnet', 'Semantic transfer'
    )
    assert isinstance(transfer, SemanticTransfer)
    assert transfer.options.weights == 'mine'
