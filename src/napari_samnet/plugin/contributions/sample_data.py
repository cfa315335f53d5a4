"""File ▸ Open Sample: pairs of images, side by side, with labels."""

from __future__ import annotations

from functools import partial
from typing import Any

#: Space between the two images, as a share of the first one's width.
GAP = 0.06


def sample_layers(name: str) -> list[tuple[Any, dict[str, Any], str]]:
    """Layers of a sample pair.

    Returns: the source, its labels, and the target to their right.
    """
    from napari_samnet.datasets.samples import load_sample

    pair = load_sample(name)
    beside = (0.0, pair.source.shape[1] * (1 + GAP))
    about = {'credit': pair.credit}
    return [
        (pair.source, {'name': name, 'metadata': about, 'rgb': True}, 'image'),
        (
            pair.labels,
            {
                'name': f'{name} labels',
                'features': _named(pair.label_names),
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


def _named(label_names: tuple[str, ...]) -> dict[str, Any]:
    """Features of a labels layer that name what each label shows."""
    return {
        'index': list(range(len(label_names) + 1)),
        'name': ['background', *label_names],
    }


def _sample(name: str) -> list[tuple[Any, dict[str, Any], str]]:
    """Layers of a sample pair, with both images in view once they are added.

    napari sets its camera on the first layer of an empty viewer, and adds
    the others outside the view.
    """
    layers = sample_layers(name)
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is None:
        return layers
    missing = {keywords['name'] for _, keywords, _ in layers}

    def on_inserted(event: Any) -> None:
        missing.discard(event.value.name.split(' [')[0])
        if not missing:
            viewer.layers.events.inserted.disconnect(on_inserted)
            viewer.reset_view()

    viewer.layers.events.inserted.connect(on_inserted)
    return layers


def brain() -> list[tuple[Any, dict[str, Any], str]]:
    """Serial sections of a brain, one of which is annotated."""
    from napari_samnet.datasets.real_pairs import brain_series

    sections, labels, names = brain_series()
    credit = (
        'Mouse brain 641_2002_2568_NM01, as distributed with DeepSlice, '
        'H. Carey et al., MIT; outlines ours'
    )
    return [
        (
            sections,
            {'name': 'brain', 'metadata': {'credit': credit}, 'rgb': True},
            'image',
        ),
        (
            labels,
            {
                'name': 'brain labels',
                'features': _named(names),
                'opacity': 0.5,
            },
            'labels',
        ),
    ]


#: What the manifest names, one for each pair.
elephant = partial(_sample, 'elephant')
jug = partial(_sample, 'jug')
kidney = partial(_sample, 'kidney')
coffee = partial(_sample, 'coffee')
cat = partial(_sample, 'cat')
tissue = partial(_sample, 'tissue')
motorcycle = partial(_sample, 'motorcycle')
