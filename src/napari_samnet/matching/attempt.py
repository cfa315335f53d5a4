"""An attempt at a match, at one place and one working size."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samnet.arrays.types import FloatArray
from napari_samnet.color.guided_affine import transfer_colors
from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.images.blank import blank_images
from napari_samnet.matching.directions import fields_in, on_samples
from napari_samnet.matching.encoding import ImageEncoder
from napari_samnet.matching.job import MatchJob
from napari_samnet.matching.labeled import labeled
from napari_samnet.matching.loaded import loaded
from napari_samnet.matching.missed_motions import nothing_missed
from napari_samnet.matching.orientation_search import Choice, choose
from napari_samnet.matching.pair import PairRun
from napari_samnet.matching.provenance import provenance
from napari_samnet.matching.reconsidering import likelier_matches
from napari_samnet.matching.refinement import Exact, exact_fields
from napari_samnet.matching.region import matched_shares, small_masks
from napari_samnet.matching.stages import Stages
from napari_samnet.matching.step import Step
from napari_samnet.matching.views import long_views
from napari_samnet.runtime.devices import (
    ExecutionTarget,
    out_of_memory_explained,
)
from napari_samnet.runtime.side_by_side import (
    Later,
    PutOff,
    Result,
    beside,
    has_room,
    side_by_side,
)

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samnet.color.classes import ColorClasses
    from napari_samnet.labels.evidence import Evidence
    from napari_samnet.samnet.network import SAMNet
    from napari_samnet.samnet.recurrence import Iteration


class Attempt:
    """A match at one place and one working size.

    It holds what its results share; the metadata are written last.
    """

    #: Both images at working size.
    small: tuple[FloatArray, FloatArray]
    #: Why an image shows nothing, by its name, where one does.
    _blank: dict[str, str]
    #: How the target is seen.
    choice: Choice
    #: The two images in the network.
    run: PairRun

    def __init__(
        self, job: MatchJob, place: ExecutionTarget, size: int
    ) -> None:
        self.job = job
        self.place = place
        self.size = size
        self.stages = Stages(place.device)
        self.changes: list[float] = []
        self.warnings = list(job.warnings)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """Time a stage, and name the remedy where memory runs out."""
        with self._memory(), self.stages.timed(name):
            yield

    def _memory(self) -> AbstractContextManager[None]:
        """Name the remedy where memory runs out."""
        return out_of_memory_explained(self.place.device, self.size)

    def steps(self) -> Generator[Step, None, Correspondence]:
        """Prepare and iterate; what is found so far comes with each step."""
        import torch

        job, options = self.job, self.job.options
        with self._stage('load'):
            model, self._weights, fitted = loaded(
                options, job.features, self.place
            )
        with self.stages.timed('shrink'):
            self.small = (
                job.working('source', self.size),
                job.working('target', self.size),
            )
        yield Step(0, options.iterations, 'describing the images')
        self._blank = blank_images(job.images, self.small)
        self._provenance = provenance(self.place.device, self.small, job.axes)
        encode = ImageEncoder(
            model,
            options,
            self.place,
            self._weights['sha256'],
            # Evidence is told by all channels, and so is the confidence.
            unproject=options.evidence or fitted is not None,
        )
        with self._stage('orient'):
            view = self._oriented(model, encode)
        masks = small_masks(job.kept, self.size)
        if masks[1] is not None:
            masks[1] = self.choice.frame.seen(masks[1], self.size)
        with torch.inference_mode(), self._stage('encode'):
            self.run = PairRun(
                model,
                (self.small[0], view),
                options,
                encode,
                job.samples,
                masks,
                fitted,
            )
            states = self.run.states()
        while True:
            with torch.inference_mode(), self._stage('match'):
                state = next(states)
            self.changes.append(round(self.run.stride * state.change, 4))
            snapshot = partial(self.snapshot, state, tuple(self.changes))
            yield Step(
                state.step + 1,
                options.iterations,
                f'iteration {state.step + 1} of at most {options.iterations}',
                self.changes[-1],
                snapshot,
            )
            if state.last:
                return snapshot(transfer=job.transferred)

    def _oriented(self, model: SAMNet, encode: ImageEncoder) -> FloatArray:
        """The target as it is compared; meanwhile the images are encoded."""
        import torch

        def source() -> None:
            with torch.inference_mode():
                encode(self.small[0])

        def target() -> FloatArray:
            view = self._orient(model)
            with torch.inference_mode():
                encode(view)
            return view

        if not encode.keeps or not has_room(self.place.device):
            return self._orient(model)
        return side_by_side(source, target)[1]

    def _orient(self, model: SAMNet) -> FloatArray:
        """Choose how the target is seen, and see it so at working size."""
        try:
            self.choice = choose(
                model,
                self.small,
                self.job.shapes[1],
                self.job.options.orientation,
                self.place.device,
            )
        except ValueError as error:
            raise InputError(str(error)) from error
        frame, small = self.choice.frame, self.small[1]
        if frame.whole:
            return small
        if not frame.exact:
            # Interpolated from twice the pixels, nothing is lost.
            small = self.job.working('target', 2 * self.size)
        return frame.seen(small, self.size)

    def snapshot(
        self,
        state: Iteration,
        changes: tuple[float, ...],
        *,
        transfer: bool = True,
        final: bool = False,
    ) -> Correspondence:
        """What is found after an iteration."""
        import torch

        job = self.job
        with self._memory(), torch.inference_mode():
            fields, seen = self._fields(state)
        colored = transfer and job.options.attributes
        transferred = None
        with beside(self.place.device) as later:
            classes = (later if colored else PutOff)(self._classes)
            judging = later(partial(self._judged, state))
            finding = later(self._evidence)
            exact = self._exact(fields, later, final=final or state.last)
            settle = partial(
                self._settled, state, judging, finding, exact, seen
            )
            # Colors take longest, and all else is done beside them.
            settling = (later if colored else PutOff)(settle)
            if colored:
                sure = seen * self.run.kept_shares(seen.shape[2:])
                # Colors follow the field that neighbors share: single cells
                # that have found a likelier match elsewhere make specks.
                transferred = self._recolored(
                    state, exact, sure, judging, classes
                )
            result = settling.result()
        metadata = {**self._metadata(changes), **result.metadata}
        return replace(result, transferred=transferred, metadata=metadata)

    def _fields(
        self, state: Iteration
    ) -> tuple[tuple[FloatArray, FloatArray], FloatArray]:
        """Fields between the images as they came, and confidence (9)."""
        window = self.job.options.window
        return fields_in(self.choice.frame, state, window)

    def _settled(
        self,
        state: Iteration,
        judging: Result[Tensor | None],
        finding: Result[Evidence | None],
        exact: Exact,
        confidence: FloatArray,
    ) -> Correspondence:
        """The result without its picture, its metadata those of this part."""
        job, frame = self.job, self.choice.frame
        probability, share = judging.result(), 0.0
        free = job.options.candidates and probability is not None
        if job.options.evidence or free:
            with self._stage('refine'):
                exact = exact.confirmed_by(self.small)
        if free:
            assert probability is not None
            with self._stage('reconsider'):
                exact, probability, share, seen = likelier_matches(
                    self.run,
                    state,
                    probability,
                    exact,
                    self._fields,
                    upright=frame.whole,
                )
            confidence = confidence if seen is None else seen
        if probability is not None:
            rows, columns = state.field.shape[-2:]
            with self._memory():
                judged = on_samples(probability, (rows, columns))
            confidence = np.concatenate((confidence, judged[None]))
        confidence = confidence * self.run.kept_shares(confidence.shape[2:])
        evidence = finding.result()
        if not frame.whole:
            confidence = np.stack(
                [(there, frame.resampled(back)) for there, back in confidence]
            )
            if evidence is not None:
                evidence = evidence.rearranged(
                    *frame.nearest_cells(evidence.shape)
                )
        confidence, evidence = exact.known_to(confidence, evidence)
        result = Correspondence(
            forward=exact.forward,
            backward=exact.backward,
            forward_cell_confidence=confidence[-1, 0],
            backward_cell_confidence=confidence[-1, 1],
            evidence=evidence,
            source_shape=job.shapes[0],
            target_shape=job.shapes[1],
        )
        labels, about = self._labeled(result)
        found = {'refined': exact.about, 'reconsidered': round(share, 3)}
        return replace(result, warped_labels=labels, metadata=found | about)

    def _views(self) -> list[FloatArray]:
        """Both images in their own proportions, if evidence needs them."""
        job, whole = self.job, self.choice.frame.whole
        if job.options.evidence and job.features is None and whole:
            return long_views(list(job.images.values()), size=self.size)
        return []

    def _evidence(self) -> Evidence | None:
        """What each cell of the target looks like, if that is wanted."""
        import torch

        with (
            self._memory(),
            torch.inference_mode(),
            self.stages.timed('compare'),
        ):
            self.run.find_evidence(self._views())
        return self.run.evidence

    def _judged(self, state: Iteration) -> Tensor | None:
        """How likely matches are right, if that was fitted."""
        import torch

        with torch.inference_mode(), self._stage('judge'):
            return self.run.match_probability(state)

    def _exact(
        self,
        fields: tuple[FloatArray, FloatArray],
        later: Later,
        *,
        final: bool,
    ) -> Exact:
        """Fields down to the pixel, if these are the last ones."""
        options = self.job.options
        if not final or not options.fine:
            # All that can wait may begin.
            later(lambda: None, soon=True)
            return Exact(*fields)
        # Cells are those of the target as it was seen.
        upright = self.choice.frame.whole
        missed = self.run.missed_motions if upright else nothing_missed
        with self._stage('refine'):
            return exact_fields(
                self.small,
                fields,
                specimen=self.choice.specimen,
                device=self.place.device,
                longest=max(max(shape) for shape in self.job.shapes),
                at_size=self.job.working,
                later=later,
                missed=missed,
            )

    def _labeled(self, result: Correspondence) -> tuple[Any, dict[str, Any]]:
        """Labels on the target's grid, if they are to be carried."""
        job = self.job
        if not job.carried:
            return None, {}
        image = job.images['target'] if job.options.outlines else None
        with self._stage('labels'):
            return labeled(result, job.labels, image)

    def _classes(self) -> ColorClasses:
        """Classes of alike colors of the source."""
        from napari_samnet.color.transfer import source_classes

        return source_classes(self.small[0])

    def _recolored(
        self,
        state: Iteration,
        exact: Exact,
        sure: FloatArray,
        judging: Result[Tensor | None],
        classes: Result[ColorClasses],
    ) -> Any:
        """The source with the target's look, at its own size."""
        import torch

        from napari_samnet.color.transfer import Recolored, recolored

        if self.job.options.reference:
            with torch.inference_mode(), self._stage('decode'):
                picture = self.run.picture(state)
            colors = Recolored(self.small[0], picture, None)
        else:
            right = judging.result()
            with self._stage('recolor'):
                colors = recolored(
                    *self.small,
                    exact.forward,
                    exact.on_grid(sure)[0, 0] ** 2,
                    likely=None if right is None else right[0, 0].cpu(),
                    classes=classes.result,
                )
        with self._stage('recolor'):
            return transfer_colors(self.job.images['source'], *colors)

    def _metadata(self, changes: tuple[float, ...]) -> dict[str, Any]:
        """What a result says about how it was made."""
        return {
            'options': asdict(self.job.options),
            **self.place._asdict(),
            'size': self.size,
            'weights': self._weights,
            **self._provenance,
            'warnings': self.warnings,
            'orientation': self.choice.as_record(),
            **matched_shares(self.job.kept),
            **({'blank': self._blank} if self._blank else {}),
            'iterations_used': len(changes),
            'changes': list(changes),
            'stages': self.stages.rounded(),
            'seconds': round(time.perf_counter() - self.job.started, 4),
        }
