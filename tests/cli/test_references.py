"""Further annotated images on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import data
from skimage.io import imread, imsave

from napari_samnet.cli.main import main


@pytest.mark.slow
def test_all_annotated_images_are_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = data.chelsea()[:, 60:360]
    for name, view in (('one', image[20:]), ('two', image[:, ::-1])):
        imsave(tmp_path / f'{name}.png', view)
        labels = np.zeros(view.shape[:2], np.uint8)
        labels[60:200, 80:220] = 4
        imsave(tmp_path / f'{name}_m.png', labels, check_contrast=False)
    imsave(tmp_path / 'target.png', image)
    one, two, mask, more, target = (
        str(tmp_path / name)
        for name in (
            'one.png',
            'two.png',
            'one_m.png',
            'two_m.png',
            'target.png',
        )
    )
    command = ['transfer', one, target, '--out', str(tmp_path / 'out')]
    quick = ['--size', '128', '--iterations', '1', '--no-attributes', '--json']
    assert main([*command, '--reference', two, more, *quick]) == 2
    assert '--labels MASK' in capsys.readouterr().err
    command += ['--labels', mask, '--reference', two, more, *quick]
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [entry['label'] for entry in facts['labels']] == [4]
    assert 0 < facts['predicted_iou'] <= 1
    carried = imread(facts['files']['warped_labels'])
    assert set(np.unique(carried)) == {0, 4}
    left = np.zeros(image.shape[:2], np.uint8)
    left[:, :150] = 1
    imsave(tmp_path / 'left.png', left, check_contrast=False)
    command += ['--target-leave-out', str(tmp_path / 'left.png')]
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    carried = imread(facts['files']['warped_labels'])
    assert carried.any()
    assert not carried[left > 0].any()
