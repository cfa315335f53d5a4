"""One match as a job: what is matched, checked once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari_samnet.arrays.checks import (
    check_flag,
    check_labels,
)
from napari_samnet.arrays.types import FloatArray
from napari_samnet.errors import InputError
from napari_samnet.images.plane import Plane
from napari_samnet.images.rgb import to_working
from napari_samnet.labels.kernel import sample_labels
from napari_samnet.matching.given import checked_for_features
from napari_samnet.matching.region import kept_parts
from napari_samnet.options import MatchOptions
from napari_samnet.warping.warp import SourceArray

if TYPE_CHECKING:
    from napari_samnet.samnet.given_features import FeatureFunction


class MatchJob:
    """One match, which may need several attempts.

    ``labels``: of the source, in memory or lazy; each is taken to move as one.
    ``carried``: whether the result is to have them on the target's grid.
    """

    def __init__(
        self,
        source: Any,
        target: Any,
        options: MatchOptions,
        axes: dict[str, int | None],
        features: FeatureFunction | None = None,
        labels: Any = None,
        *,
        region: Any = None,
        leave_out: Any = None,
        transferred: bool = True,
        carried: bool = False,
    ) -> None:
        self.started = time.perf_counter()
        check_options(options)
        check_flag('transferred', transferred)
        if features is not None:
            options = checked_for_features(features, options)
        self.features = features
        # Checked here, once; what follows takes planes as well as arrays.
        self.images = {
            name: Plane.of(image, name=name, channel_axis=axes[name])
            for name, image in (('source', source), ('target', target))
        }
        self.axes = axes
        self.options = options
        self.shapes = [image.shape for image in self.images.values()]
        self.labels = labels
        self.carried = carried and labels is not None
        self.samples = None
        if labels is not None:
            check_labels('labels', labels, self.shapes[0])
            self.samples = sample_labels(
                SourceArray.of(labels), self.shapes[0]
            )
        self.kept = kept_parts(region, leave_out, tuple(self.shapes))
        self.transferred = transferred
        #: What the user did not ask for.
        self.warnings: list[str] = []

    def free_caches(self) -> None:
        """Free what was kept for other matches."""
        from napari_samnet.runtime.feature_cache import FEATURES
        from napari_samnet.samnet.kernels.cuda_graph import clear_recordings

        FEATURES.clear()
        clear_recordings()

    def working(self, name: str, size: int) -> FloatArray:
        """An image of the pair at a working size."""
        return to_working(self.images[name], size=size)


def check_options(options: Any) -> None:
    """Refuse what is not a set of options, such as a dict of them."""
    if not isinstance(options, MatchOptions):
        raise InputError(
            f'options must be MatchOptions, as in MatchOptions(size=128), '
            f'got a {type(options).__name__}'
        )
