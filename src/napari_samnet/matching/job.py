"""One match as a job: attempts at a place and a size, each a generator."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samnet.arrays.checks import check_labels
from napari_samnet.color.guided_affine import transfer_colors
from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.images.plane import Plane
from napari_samnet.images.rgb import to_working
from napari_samnet.labels.kernel import sample_labels
from napari_samnet.matching.given import checked_for_features
from napari_samnet.matching.orientation import Frame
from napari_samnet.matching.orientation_search import Choice, choose
from napari_samnet.matching.pair import (
    FloatArray,
    PairRun,
    directions,
)
from napari_samnet.matching.provenance import provenance
from napari_samnet.matching.refinement import refine_large
from napari_samnet.matching.region import kept_parts, small_masks
from napari_samnet.matching.stages import Stages
from napari_samnet.matching.views import long_views
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.devices import (
    ExecutionTarget,
    out_of_memory_explained,
)
from napari_samnet.warping.warp import SourceArray

if TYPE_CHECKING:
    from napari_samnet.samnet.confidence import MatchConfidence
    from napari_samnet.samnet.given_features import FeatureFunction
    from napari_samnet.samnet.network import Iteration, SAMNet

#: Pixels per cell at working size.
STRIDE = 8


@dataclass(frozen=True)
class Step:
    """Progress of a match.

    Attributes
    ----------
    index : int
        Iterations done; 0 while preparing.
    total : int
        Largest number of iterations.
    text : str
        What was done or is being done.
    change : float or None
        Mean change of the field in this iteration, in pixels at working
        size; None while preparing.
    snapshot : callable or None
        Gives the :class:`~napari_samnet.Correspondence` so far; None while
        preparing. ``snapshot(transfer=False)`` leaves out the transferred
        image, which takes longer than an iteration.
    """

    index: int
    total: int
    text: str
    change: float | None = None
    snapshot: Callable[..., Correspondence] | None = None


class MatchJob:
    """One match, which may need several attempts.

    ``labels``: Labels of the source, in memory or lazy; each is taken to move
    as one.
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
    ) -> None:
        if features is not None:
            options = checked_for_features(features, options)
        self._features = features
        self._started = time.perf_counter()
        # Checked here, once; what follows takes planes as well as arrays.
        self._images = {
            name: Plane.of(image, name=name, channel_axis=axes[name])
            for name, image in (('source', source), ('target', target))
        }
        self._axes = axes
        self._options = options
        self._shapes = [image.shape for image in self._images.values()]
        self._samples = None
        if labels is not None:
            check_labels('labels', labels, self._shapes[0])
            self._samples = sample_labels(
                SourceArray.of(labels), self._shapes[0]
            )
        self._kept = kept_parts(region, leave_out, tuple(self._shapes))
        self._transferred = transferred
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        """Note what the user did not ask for."""
        self.warnings.append(text)

    def free_caches(self) -> None:
        """Free what was kept for other matches."""
        from napari_samnet.runtime.feature_cache import FEATURES
        from napari_samnet.samnet.kernels.cuda_graph import clear_recordings

        FEATURES.clear()
        clear_recordings()

    def attempt(
        self, place: ExecutionTarget, size: int
    ) -> Generator[Step, None, Correspondence]:
        """Match at a place and a working size.

        ``size``: working size in pixels.
        """
        import torch

        from napari_samnet.runtime.confidence import find_confidence
        from napari_samnet.runtime.loading import load_model
        from napari_samnet.runtime.weights import get_weights
        from napari_samnet.samnet.given_features import GivenFeatures

        options = self._options
        stages = Stages(place.device)
        with stages.timed('load'):
            model: SAMNet
            fitted: MatchConfidence | None = None
            if self._features is not None:
                model = GivenFeatures(self._features).eval()
                origin = {'name': 'given features', 'sha256': ''}
            else:
                weights = get_weights(options.weights)
                origin = {'name': weights.name, 'sha256': weights.sha256}
                with out_of_memory_explained(place.device, size):
                    model = load_model(
                        options.weights,
                        device=place.device,
                        precision=place.precision,
                        backend=place.backend,
                        literal=options.reference,
                    )
                if options.confidence == 'calibrated':
                    fitted = find_confidence(weights, model.config)
        with stages.timed('shrink'):
            small = [self._working(name, size) for name in self._images]
        yield Step(0, options.iterations, 'describing the images')
        record = {
            'options': asdict(options),
            **place._asdict(),
            'size': size,
            'weights': origin,
            **provenance(place.device, small, self._axes),
            'warnings': list(self.warnings),
        }
        with (
            out_of_memory_explained(place.device, size),
            stages.timed('orient'),
        ):
            try:
                choice = choose(
                    model,
                    small,
                    self._shapes[1],
                    options.orientation,
                    place.device,
                )
            except ValueError as error:
                raise InputError(str(error)) from error
            view = self._view(choice.frame, small[1], size)
        record['orientation'] = choice.as_record()
        masks = small_masks(self._kept, size)
        if masks[1] is not None:
            masks[1] = choice.frame.seen(masks[1], size)
        if any(mask is not None for mask in masks):
            record['matched_share'] = [
                1.0 if mask is None else round(float(mask.mean()), 4)
                for mask in self._kept
            ]
        with (
            torch.inference_mode(),
            out_of_memory_explained(place.device, size),
            stages.timed('encode'),
        ):
            run = PairRun(
                model,
                (small[0], view),
                options,
                place,
                origin['sha256'],
                self._samples,
                masks,
                fitted,
            )
            states = run.states()
        changes: tuple[float, ...] = ()
        while True:
            with (
                torch.inference_mode(),
                out_of_memory_explained(place.device, size),
                stages.timed('match'),
            ):
                state = next(states)
            changes = (*changes, round(run.stride * state.change, 4))
            snapshot = partial(
                self._snapshot,
                run,
                state,
                small,
                choice,
                stages,
                record,
                changes,
            )
            yield Step(
                state.step + 1,
                options.iterations,
                f'iteration {state.step + 1} of at most {options.iterations}',
                changes[-1],
                snapshot,
            )
            if state.last:
                return snapshot(transfer=self._transferred)

    def _view(self, frame: Frame, small: FloatArray, size: int) -> FloatArray:
        """The target at working size as the network is to see it."""
        if frame.whole:
            return small
        if not frame.exact:
            # Interpolated from twice the pixels, nothing is lost.
            small = self._working('target', 2 * size)
        return frame.seen(small, size)

    def _working(self, name: str, size: int) -> FloatArray:
        """An image of the pair at a working size."""
        return to_working(self._images[name], size=size)

    def _snapshot(
        self,
        run: PairRun,
        state: Iteration,
        small: list[FloatArray],
        choice: Choice,
        stages: Stages,
        record: dict[str, Any],
        changes: tuple[float, ...],
        *,
        transfer: bool = True,
    ) -> Correspondence:
        """What is found after an iteration."""
        import torch

        frame = choice.frame

        with (
            out_of_memory_explained(record['device'], record['size']),
            torch.inference_mode(),
        ):
            forward, backward, confidence = directions(
                state,
                self._options.window,
                run.match_probability(state),
            )
            confidence = confidence * run.kept_shares(confidence.shape[2:])
            evidence = None
            if self._options.evidence:
                views: list[FloatArray] = []
                if frame.whole and self._features is None:
                    views = long_views(
                        list(self._images.values()), size=small[0].shape[0]
                    )
                evidence = run.evidence(views)
        if not frame.whole:
            forward = frame.forward(forward)
            backward = frame.backward(backward)
            confidence = np.stack(
                [(there, frame.resampled(back)) for there, back in confidence]
            )
            if evidence is not None:
                evidence = evidence.rearranged(
                    *frame.nearest_cells(evidence.shape)
                )
        refined: dict[str, Any] | None = None
        if state.last and self._options.fine:
            with (
                out_of_memory_explained(record['device'], record['size']),
                stages.timed('refine'),
            ):
                forward, backward, confidence, refined = refine_large(
                    small,
                    (forward, backward),
                    confidence,
                    specimen=choice.specimen,
                    device=record['device'],
                    longest=max(max(shape) for shape in self._shapes),
                    at_size=self._working,
                )
                if evidence is not None and refined is not None:
                    # Filters that only this needs take long to import.
                    from napari_samnet.matching.confirmation import (
                        confirmed,
                        raised_confidence,
                    )

                    places = confirmed(small[0], small[1], forward, backward)
                    evidence = evidence.beside_field(places)
                    if len(confidence) > 1:
                        confidence[-1] = raised_confidence(
                            confidence[-1], places, forward
                        )
        transferred = None
        if transfer and self._options.attributes:
            from napari_samnet.color.transfer import Recolored, recolored

            colors = None
            if self._options.reference:
                with (
                    torch.inference_mode(),
                    out_of_memory_explained(record['device'], record['size']),
                    stages.timed('decode'),
                ):
                    colors = Recolored(small[0], run.picture(state), None)
            with (
                out_of_memory_explained(record['device'], record['size']),
                stages.timed('recolor'),
            ):
                if colors is None:
                    own, other = small
                    colors = recolored(
                        own, other, forward, confidence[0, 0] ** 2
                    )
                transferred = transfer_colors(self._images['source'], *colors)
        return Correspondence(
            forward=forward,
            backward=backward,
            forward_confidence=confidence[-1, 0],
            backward_confidence=confidence[-1, 1],
            evidence=evidence,
            source_shape=self._shapes[0],
            target_shape=self._shapes[1],
            transferred=transferred,
            metadata={
                **record,
                'refined': refined,
                'iterations_used': len(changes),
                'changes': list(changes),
                'stages': stages.rounded(),
                'seconds': round(time.perf_counter() - self._started, 4),
            },
        )
