"""Images that no packaged network is trained on, in any stage.

What is measured with, or shown as a sample, must not have been learnt.
"""

from __future__ import annotations

from pathlib import Path

from napari_samnet.datasets import animal_pose

#: Folder and name of the photographs of Caltech-101 that are our samples.
SAMPLE_FILES = frozenset(
    {
        ('elephant', 'image_0002.jpg'),
        ('elephant', 'image_0004.jpg'),
        ('ewer', 'image_0038.jpg'),
        ('ewer', 'image_0058.jpg'),
    }
)


def is_left_out(path: Path) -> bool:
    """Whether an image must not be trained on.

    Returns: True for the samples, and below a folder ``animal-pose`` for a
    fifth of all names, see :func:`.animal_pose.is_left_out`.
    """
    if path.parts[-2:] in SAMPLE_FILES:
        return True
    measured = 'animal-pose' in path.parts
    return measured and animal_pose.is_left_out(path)
