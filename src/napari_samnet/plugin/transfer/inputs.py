"""From the panel and the viewer to a request, or the reason why not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.model.annotations import capture_mask, check_labels
from napari_samnet.plugin.model.capture import Stack, kind_of
from napari_samnet.plugin.model.channels import Channels
from napari_samnet.plugin.model.grids import Grid, Index, grid_of
from napari_samnet.plugin.model.masks import INHERITED, Mask
from napari_samnet.plugin.model.regions import Region, capture_region
from napari_samnet.plugin.model.request import (
    MODES,
    PlanePair,
    Request,
    plane_pairs,
)
from napari_samnet.plugin.model.resampled import lies_on
from napari_samnet.plugin.model.seen import SeenTurn, orientation_seen
from napari_samnet.plugin.model.units import world_units
from napari_samnet.plugin.transfer.input_checks import (
    check_annotated,
    check_axes,
    check_channels,
    check_content,
    remarks_on,
)
from napari_samnet.plugin.transfer.panel import Panel


@dataclass(frozen=True)
class _Plan:
    """What a run is about, before its annotations are copied."""

    source: Stack
    target: Stack
    pairs: Sequence[PlanePair]
    source_grid: Grid
    target_grid: Grid
    outputs: frozenset[str]


class Inputs:
    """Reads what the user has chosen."""

    def __init__(self, viewer: Any, panel: Panel) -> None:
        self._viewer = viewer
        self._panel = panel
        self.channels = Channels(viewer)

    @property
    def mode(self) -> str:
        """Way through the stack; 'current' where there is none."""
        if not self.has_planes:
            return 'current'
        return list(MODES)[self._panel.mode.currentIndex()]

    @property
    def has_planes(self) -> bool:
        """Whether an image has leading axes."""
        layers = (self._panel.source.layer, self._panel.target.layer)
        return any(
            layer is not None and self.channels.has_planes(layer)
            for layer in layers
        )

    def stack(self, layer: Any) -> Stack:
        """An image as it is used, with the channels that were declared."""
        return self.channels.stack(layer)

    def ids_of(self, layer: Any) -> frozenset[int] | None:
        """Ids of labels that are carried; all if None.

        Raises InputError if they are listed in a way that cannot be read.
        """
        return self._panel.ids.of(layer)

    def index_of(self, grid: Grid) -> Index:
        """Plane of a grid that the viewer shows."""
        viewer = self._viewer
        return grid.index_at(viewer.dims.point, world_units(viewer))

    def stacks(self) -> tuple[Stack, Stack]:
        """Both images; when propagating, the source twice.

        Raises InputError if one is missing.
        """
        source, target = self._panel.source.layer, self._panel.target.layer
        if source is None:
            raise InputError('Open two images to begin')
        check_channels(source, self.channels)
        if self.mode == 'propagate':
            stack = self.stack(source)
            return stack, stack
        if target is None:
            if self.has_planes:
                raise InputError(
                    'Open a second image, or choose Propagate labels at '
                    'Planes to carry labels through this one'
                )
            raise InputError('Open a second image, to match with this one')
        check_channels(target, self.channels)
        return self.stack(source), self.stack(target)

    def planes(self, source: Stack, target: Stack) -> tuple[Index, Index]:
        """Planes of both images that the viewer shows."""
        return self.index_of(source.grid), self.index_of(target.grid)

    def capture(
        self, layer: Any, planes: Iterable[Index] | None = None
    ) -> Mask:
        """Copy an annotation for the source.

        ``layer`` (napari layer): Labels, points or shapes.
        ``planes``: planes of the source that will be read; all by default.
        Returns: the annotation as it is now, whatever becomes of the layer.
        Raises InputError if it does not fit.
        """
        source, target = self.stacks()
        return capture_mask(
            layer,
            source.grid,
            at=self.index_of(source.grid),
            shown=self.shown_of(layer),
            target=target.grid,
            planes=planes,
            ids=self.ids_of(layer) if isinstance(layer, Labels) else None,
        )

    def shown_of(self, layer: Any) -> Index:
        """Coordinates on the leading axes of a layer that are shown.

        Returns: empty for a plain one.
        """
        viewer = self._viewer
        grid = grid_of(layer, (1,) * layer.ndim)
        point = np.asarray(viewer.dims.point, float)[None]
        coords = grid.from_world(point, world_units(viewer))[0, :-2]
        return tuple(int(value) for value in np.rint(coords))

    def image_under(self, shapes: Any) -> str:
        """Image that shapes were drawn on: 'target' if only on that one."""
        drawn = []
        for layer in (self._panel.source.layer, self._panel.target.layer):
            if layer is None:
                return 'source'
            grid = self.stack(layer).grid
            try:
                region = capture_region(shapes, grid, leave_out=False)
            except InputError:
                drawn.append(False)
                continue
            drawn.append(region.plane(self.index_of(grid)) is not None)
        return 'target' if drawn == [False, True] else 'source'

    def annotations(self) -> list[Any]:
        """Annotations that lie on the source, and are no results."""
        source = self._panel.source.layer
        if source is None:
            return []
        grid = self.stack(source).grid
        return [
            layer
            for layer in self._viewer.layers
            if kind_of(layer) in INHERITED
            and not about_layer(layer)
            and (kind_of(layer) != 'labels' or lies_on(grid_of(layer), grid))
        ]

    def refusal(self) -> InputError | None:
        """Why nothing can run; None if it can."""
        try:
            self.check()
        except InputError as error:
            return error
        return None

    def check(self) -> None:
        """Refuse what cannot run, without copying or reading any data.

        Raises InputError if something is missing or does not fit.
        """
        plan = self._plan(None)
        layer = self._chosen_labels(plan.outputs)
        self._check_chosen(plan, layer)
        self._regions(plan)
        if layer is not None:
            self.ids_of(layer)
            check_labels(layer, plan.source.grid)
            if self.mode == 'propagate':
                check_annotated(layer, plan.pairs[0].source)

    def request(
        self,
        masks: Sequence[Any] | None = None,
        outputs: Iterable[str] | None = None,
        refused: list[InputError] | None = None,
        planes: Sequence[Index] | None = None,
    ) -> Request:
        """Capture a run.

        ``masks``: annotations to carry, by default what the labels chooser
        says.
        ``refused``: where to put why some of `masks` cannot be carried, and
        what of others will not be carried as it seems. As
        long as something can be made, it is; without the list, the first that
        cannot be carried is an error.
        Raises InputError if something is missing or does not fit.
        """
        plan = self._plan(outputs)
        chosen = masks is None
        if masks is None:
            layer = self._chosen_labels(plan.outputs)
            self._check_chosen(plan, layer)
            masks = [] if layer is None else [layer]
        alone = plan.outputs == {'labels'} or self.mode == 'propagate'
        captured: list[Mask] = []
        errors: list[InputError] = []
        remarks: list[InputError] = []
        for layer in masks:
            try:
                read, needed = self._planes_read(plan, layer)
                if planes is not None:
                    read = needed = [*planes]
                mask = self.capture(layer, read)
                check_content(mask, needed)
            except InputError as error:
                errors.append(error)
            else:
                captured.append(mask)
                shape = plan.source.grid.plane_shape
                remarks += remarks_on(mask, shape, needed)
        if refused is not None:
            refused += [*errors, *remarks]
        # Refused labels stop a run only where it would make nothing else.
        missed = alone if chosen else not captured
        if errors and (refused is None or missed):
            raise errors[0]
        panel = self._panel
        options, seen = panel.options.options(), None
        if options.orientation == 'auto' and self.mode != 'propagate':
            # An orientation visible on the screen need not be searched.
            grids = plan.source.grid, plan.target.grid
            text = orientation_seen(*grids)
            seen = SeenTurn(*grids) if text else None
            options = replace(options, orientation=text or 'auto')
        flat = self.mode == 'current'
        return Request(
            source=plan.source,
            target=plan.target,
            pairs=plan.pairs,
            source_grid=plan.source_grid,
            target_grid=plan.target_grid,
            # Points carry their plane as a coordinate, images as a place.
            source_space=plan.source.grid if flat else plan.source_grid,
            target_space=plan.target.grid if flat else plan.target_grid,
            options=options,
            seen=seen,
            regions=self._regions(plan),
            masks=captured,
            outputs=plan.outputs - {'labels'},
            arrows=panel.arrows.value(),
            color=panel.color.currentText().lower(),
            live=panel.live.isChecked(),
        )

    def _plan(self, outputs: Iterable[str] | None) -> _Plan:
        """What a run is about, without its annotations."""
        panel = self._panel
        source, target = self.stacks()
        # Refused here if the fields do not fit together.
        panel.options.options()
        wanted = frozenset(panel.outputs.names if outputs is None else outputs)
        mode = self.mode
        if self.has_planes and mode == 'current':
            check_axes(self._viewer.dims)
        at = self.planes(source, target)
        if mode != 'propagate':
            pairs, here, there = plane_pairs(source, target, mode, at)
            return _Plan(source, target, pairs, here, there, wanted)
        if not source.grid.leading:
            raise InputError(
                'the source is a single image, there is nothing to '
                'propagate through'
            )
        pair = PlanePair(at[0], at[0], at[0], at[0], at[0], at[0])
        grid = source.grid
        return _Plan(source, source, [pair], grid, grid, frozenset({'labels'}))

    def _regions(self, plan: _Plan) -> tuple[Region | None, Region | None]:
        """Parts of source and target that are matched."""
        fields = self._panel.region
        layer = fields.layer.layer
        if layer is None:
            return None, None
        if self.mode == 'propagate':
            # There is one image, whichever the shapes were drawn on.
            region = capture_region(
                layer, plan.source.grid, leave_out=fields.leave_out
            )
            return region, region
        source, target = (
            capture_region(layer, stack.grid, leave_out=fields.leave_out)
            if name in fields.images
            else None
            for name, stack in (
                ('source', plan.source),
                ('target', plan.target),
            )
        )
        return source, target

    def _chosen_labels(self, wanted: frozenset[str]) -> Any:
        return self._panel.labels.layer if 'labels' in wanted else None

    def _check_chosen(self, plan: _Plan, labels: Any) -> None:
        """Refuse a run that would make nothing."""
        if not plan.outputs:
            raise InputError('choose what to add to the viewer')
        if labels is None and self.mode == 'propagate':
            raise InputError('choose the labels to propagate')
        if labels is None and plan.outputs == {'labels'}:
            raise InputError('choose the labels to warp')

    def _planes_read(
        self, plan: _Plan, layer: Any
    ) -> tuple[list[Index] | None, list[Index]]:
        """Planes of an annotation that are copied, and that must have any.

        All planes count as annotated when something is propagated.
        """
        read = sorted({pair.source for pair in plan.pairs})
        if self.mode == 'propagate' and layer.ndim > 2:
            return None, list(np.ndindex(plan.source.grid.leading))
        return read, read

    @property
    def axis(self) -> int:
        """Leading axis to propagate along."""
        return max(0, self._panel.axis.currentIndex())
