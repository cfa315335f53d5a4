"""File ▸ Open Sample: pairs of images, side by side, with labels."""

from __future__ import annotations

from typing import Any

__all__ = ['cat', 'coffee', 'motorcycle', 'sample_layers', 'tissue']

#: Space between the two images, as a share of the first one's width.
GAP = 0.06


def sample_layers(name: str) -> list[tuple[Any, dict[str, Any], str]]:
    """Layers of a sample pair.

    Parameters
    ----------
    name : str
        A key of :data:`napari_samnet.datasets.samples.SAMPLES`.

    Returns
    -------
    list of (data, keywords, type)
        The source, its labels, and the target to their right.
    """
    from napari_samnet.datasets.samples import load_sample

    pair = load_sample(name)
    beside = (0.0, pair.source.shape[1] * (1 + GAP))
    about = {'credit': pair.credit}
    names = {i + 1: text for i, text in enumerate(pair.label_names)}
    features = {
        'index': [0, *names],
        'name': ['background', *names.values()],
    }
    return [
        (pair.source, {'name': name, 'metadata': about, 'rgb': True}, 'image'),
        (
            pair.labels,
            {
                'name': f'{name} labels',
                'features': features,
                'opacity': 0.5,
            },
            'labels',
        ),
        (
            pair.target,
            {
                'name': f'other {name}',
                'metadata': about,
                'rgb': True,
                'translate': beside,
            },
            'image',
        ),
    ]


def coffee() -> list[tuple[Any, dict[str, Any], str]]:
    """A cup, and another cup."""
    return sample_layers('coffee')


def cat() -> list[tuple[Any, dict[str, Any], str]]:
    """A cat by day and by moonlight."""
    return sample_layers('cat')


def tissue() -> list[tuple[Any, dict[str, Any], str]]:
    """A tissue section, and the next in another stain."""
    return sample_layers('tissue')


def motorcycle() -> list[tuple[Any, dict[str, Any], str]]:
    """A motorcycle seen by two cameras."""
    return sample_layers('motorcycle')
