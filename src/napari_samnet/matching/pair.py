"""A pair of images on the network: arrays in, arrays out, torch between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.types import FloatArray
from napari_samnet.errors import InputError
from napari_samnet.labels.evidence import Evidence, find_evidence
from napari_samnet.labels.similar import CellFeatures, most_similar
from napari_samnet.matching.both_ways import both_ways, joined
from napari_samnet.matching.missed_motions import (
    MissedMotion,
    MostAlike,
    missed_motions,
)
from napari_samnet.matching.region import (
    cell_shares,
    check_cells,
    without,
)
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.devices import has_whole_products
from napari_samnet.runtime.side_by_side import has_room

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samnet.matching.encoding import ImageEncoder
    from napari_samnet.samnet.candidates import Reconsidered
    from napari_samnet.samnet.confidence import MatchConfidence
    from napari_samnet.samnet.confidence_measures import PairSimilarities
    from napari_samnet.samnet.features import Features
    from napari_samnet.samnet.network import SAMNet
    from napari_samnet.samnet.recurrence import Feedback, Iteration


#: Labels at most that are each a hypothesis of the start, the largest ones.
REGIONS = 8


class PairRun:
    """Both directions of a pair as one batch of two.

    ``small``: source and target at working size, float32 ``(size, size, 3)``.
    ``encode``: encodes them, with all channels if there is a `confidence` or
    evidence is wanted, since both are told by them.
    ``samples`` (n, m): even samples of labels of the source: each is a region
    that is taken to move as one.
    ``masks``: of :func:`~napari_samnet.matching.region.small_masks`: what is
    matched of source and target, all of an image if None.
    ``confidence``: what was fitted to matches of such features; without it,
    the confidence is that of the paper.
    """

    def __init__(
        self,
        model: SAMNet,
        small: tuple[FloatArray, FloatArray],
        options: MatchOptions,
        encode: ImageEncoder,
        samples: NDArray[Any] | None = None,
        masks: Sequence[NDArray[np.float32] | None] = (None, None),
        confidence: MatchConfidence | None = None,
    ) -> None:
        import torch

        from napari_samnet.samnet.features import Features
        from napari_samnet.samnet.recurrence import Recurrence

        self._model = model
        self._encode = encode
        self._options = options
        self._confidence = confidence
        self._masks = masks
        parts = [
            self._matched(encode(image), mask)
            for image, mask in zip(small, masks, strict=True)
        ]
        source, target = (
            Features(
                torch.cat([part.matching for part in pair]),
                torch.cat([part.content for part in pair]),
                tuple(
                    torch.cat(level)
                    for level in zip(
                        *(part.skips if encode.skips else () for part in pair),
                        strict=True,
                    )
                ),
            )
            for pair in (parts, parts[::-1])
        )
        self._source, self._target = source, target
        self._unprojected = [part.unprojected for part in parts]
        rows, columns = source.matching.shape[-2:]
        if options.window > min(rows, columns):
            raise InputError(
                f'window must not be larger than the feature map, which is '
                f'{rows}x{columns} cells at size {small[0].shape[0]}, got '
                f'{options.window}'
            )
        check_cells(masks, (rows, columns))
        #: Pixels per cell at working size.
        self.stride = small[0].shape[0] / rows
        self._regions: Tensor | None = None
        if samples is not None and samples.any():
            self._regions = _regions(samples, (rows, columns)).to(
                source.matching.device
            )
        #: Cells of the source that each cell of the target looks like, once
        #: they were compared and if that is wanted.
        self.evidence: Evidence | None = None
        self._recurrence = Recurrence(
            window=options.window,
            iterations=options.iterations,
            attributes=options.attributes,
            feedback=cast('Feedback', options.feedback),
            init=options.init,
            motions=options.motions,
            alikeness=options.alikeness,
            coarse_iterations=options.coarse_iterations,
            lambda_max=options.lambda_max,
            skip=options.skip,
            tolerance=options.tolerance / self.stride,
            reference=options.reference,
            whole_numbers=has_whole_products(encode.place),
        )

    @staticmethod
    def _matched(
        features: Features, mask: NDArray[np.float32] | None
    ) -> Features:
        """Features of which those left out match nothing."""
        return features._replace(
            matching=without(features.matching, mask),
            unprojected=None
            if features.unprojected is None
            else without(features.unprojected, mask),
        )

    def kept_shares(self, shape: tuple[int, int]) -> FloatArray:
        """Shares of cells of source and target that are matched.

        ``shape``: rows and columns of the cells, of any size. Returns: (2,
        rows, columns): from 0 to 1.
        """
        return np.stack(
            [
                np.ones(shape, np.float32)
                if mask is None
                else cell_shares(mask, shape)[0, 0].numpy()
                for mask in self._masks
            ]
        )

    def states(self) -> Iterator[Iteration]:
        """Run the recurrence.

        Where there is a second core, :meth:`compare` is done beside it.
        """
        pair = self._source, self._target, self._recurrence, self._regions
        if not self._options.reference:
            if self._recurrence.guided and has_room(self._encode.place.device):
                return both_ways(self._model, *pair, self.compare)
            return self._model.iterate(*pair)
        runs = [
            self._model.iterate(
                self._source.part(one),
                self._target.part(one),
                self._recurrence,
                regions,
            )
            for one, regions in (
                (slice(0, 1), self._regions),
                (slice(1, 2), None),
            )
        ]
        return (joined(*pair) for pair in zip(*runs, strict=True))

    def find_evidence(self, views: Sequence[FloatArray] = ()) -> None:
        """Find what each cell of the target looks like, if that is wanted.

        That is done once for all states, and at any time before
        :attr:`evidence` is used.

        ``views`` (h, w, 3): source and target in their own proportions.
        Without them the features of the match are taken, of images squashed
        to squares.
        """
        if not self._options.evidence or self.evidence is not None:
            return
        source, target = self._cells(views)
        whole = self._recurrence.whole_numbers
        self.evidence = find_evidence(
            target.channels,
            [source.channels],
            similarity=most_similar(
                target.likeness, [source.likeness], whole=whole
            ),
            whole=whole,
        )

    def compare(self) -> None:
        """Compare all cells of both images, if the confidence needs it.

        That is done once for all states, when one of them is judged if not
        before.
        """
        if self._confidence is not None and self._recurrence.guided:
            # Computed when it is looked at first.
            _ = self._similarities

    def _cells(self, views: Sequence[FloatArray]) -> list[CellFeatures]:
        """Features of the cells of source and target, for their evidence."""
        from napari_samnet.samnet.features import Features

        if not views:
            matching = self._source.matching.split(1)
            return [
                cell_features(self._model, Features(part, part, (), channels))
                for part, channels in zip(
                    matching, self._unprojected, strict=True
                )
            ]
        found = []
        for view, mask in zip(views, self._masks, strict=True):
            project = not tells_likeness(self._model)
            seen = self._encode(view, project=project)
            found.append(cell_features(self._model, self._matched(seen, mask)))
        return found

    @cached_property
    def _similarities(self) -> PairSimilarities:
        """Of all cells of both images."""
        from napari_samnet.samnet.confidence_measures import PairSimilarities

        return PairSimilarities.of(
            self._source.matching, whole=self._recurrence.whole_numbers
        )

    def match_probability(self, state: Iteration) -> Tensor | None:
        """How likely the matches are right, if that was fitted.

        ``state``: state that :meth:`states` yielded.
        Returns: of both directions, ``(2, 1, h, w)`` in [0, 1]; None if it
        was not fitted.
        """
        if self._confidence is None or state.clues is None:
            return None
        return self._confidence.of_field(
            self._similarities, state.field, state
        )

    def reconsidered(self, state: Iteration, before: Tensor) -> Reconsidered:
        """The state with likelier matches, how likely, and their share.

        ``before``: how likely each match is, of :meth:`match_probability`.
        """
        from napari_samnet.samnet.candidates import Reconsidered, reconsidered
        from napari_samnet.samnet.peaks import at_peaks

        assert self._confidence is not None
        better = reconsidered(
            self._confidence,
            self._similarities,
            state,
            before,
            alikeness=self._options.alikeness,
            whole=self._recurrence.whole_numbers,
        ) or Reconsidered(state, before, 0.0)
        return better._replace(
            state=at_peaks(
                self._similarities, better.state, better.probability
            )
        )

    def free_cells(self, sure: Tensor, field: Tensor) -> int:
        """Cells of both images that could take a match elsewhere.

        ``sure``: ``(2, 1, h, w)``, how likely each match is, or confirmed.
        ``field``: ``(2, 6, H, W)``, where it leads.
        Returns: how many doubtful ones are most alike to doubtful ones
        elsewhere, there and back.
        """
        from napari_samnet.samnet.candidates import free_cells

        return free_cells(self._similarities, sure, field)

    def missed_motions(
        self, fields: tuple[FloatArray, FloatArray]
    ) -> list[MissedMotion]:
        """Motions that alike cells show, and from which the fields lead away.

        ``fields`` (h, w, 2): normalized displacements (row, column), forward
        and backward.
        """
        seen = self._similarities
        matches = MostAlike(
            seen.size, seen.best.cpu().numpy(), seen.back.cpu().numpy()
        )
        return missed_motions(matches, fields)

    def picture(self, state: Iteration) -> FloatArray:
        """I^{s<-t} at working size, float32 ``(size, size, 3)``."""
        from napari_samnet.runtime.precision import convolutions

        first = slice(1)
        exact = self._options.reference
        with convolutions(self._encode.place.device, exact=exact):
            image = self._model.picture(
                self._source.part(first),
                self._target.part(first),
                state,
                self._recurrence,
            )
        picture: FloatArray = image[0].permute(1, 2, 0).float().cpu().numpy()
        return picture


def tells_likeness(model: SAMNet) -> bool:
    """Whether likeness is told by all channels, so that they are enough."""
    network = getattr(model, 'features', None)
    return getattr(network, 'likeness', None) is not None


def cell_features(model: SAMNet, features: Features) -> CellFeatures:
    """Features of the cells of an image, row by row.

    ``features``: of one image; all channels, if it has them, or the network
    tells likeness by these.
    """
    matching, channels = features.matching, features.unprojected
    if channels is None:
        channels = matching
    if tells_likeness(model) and not model.features.is_projected(channels):
        likeness = model.features.likeness_feature(channels)
        assert likeness is not None
        matching = likeness
    return CellFeatures(
        *(
            part[0].float().permute(1, 2, 0).cpu().numpy()
            for part in (channels, matching)
        )
    )


def _regions(samples: NDArray[Any], cells: tuple[int, int]) -> Tensor:
    """Shares of the cells that the largest labels fill, ``(K, h, w)``."""
    import torch
    import torch.nn.functional as F

    values, counts = np.unique(samples[samples != 0], return_counts=True)
    largest = values[np.argsort(-counts, kind='stable')[:REGIONS]]
    masks = torch.from_numpy(
        np.stack([samples == value for value in largest]).astype(np.float32)
    )
    return F.adaptive_avg_pool2d(masks, cells)
