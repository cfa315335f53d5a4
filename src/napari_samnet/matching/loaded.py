"""What a match computes with: network, its name, and fitted confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samnet.options import MatchOptions
from napari_samnet.runtime.devices import ExecutionTarget

if TYPE_CHECKING:
    from napari_samnet.samnet.confidence import MatchConfidence
    from napari_samnet.samnet.given_features import FeatureFunction
    from napari_samnet.samnet.network import SAMNet


def loaded(
    options: MatchOptions,
    features: FeatureFunction | None,
    place: ExecutionTarget,
) -> tuple[SAMNet, dict[str, str], MatchConfidence | None]:
    """The network at a place, what it is called, and the fitted confidence.

    ``features``: given by the user, in place of the network's.
    """
    from napari_samnet.runtime.confidence import find_confidence
    from napari_samnet.runtime.loading import load_model
    from napari_samnet.runtime.memory import keep_freed_memory
    from napari_samnet.runtime.weights import get_weights
    from napari_samnet.samnet.given_features import GivenFeatures

    if features is not None:
        name = {'name': 'given features', 'sha256': ''}
        return GivenFeatures(features).eval(), name, None
    if place.device == 'cpu':
        keep_freed_memory()
    weights = get_weights(options.weights)
    model = load_model(
        options.weights,
        device=place.device,
        precision=place.precision,
        backend=place.backend,
        reference=options.reference,
    )
    fitted = None
    if options.confidence == 'calibrated':
        fitted = find_confidence(weights, model.config)
    return model, {'name': weights.name, 'sha256': weights.sha256}, fitted
