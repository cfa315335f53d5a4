"""What the fields of the dock hold, read and set from a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Layer

from napari_samnet.errors import InputError, no_such
from napari_samnet.options import MatchOptions
from napari_samnet.plugin.layers.reopened import is_result
from napari_samnet.plugin.model.grids import grid_of
from napari_samnet.plugin.model.request import MODES, OUTPUTS
from napari_samnet.plugin.model.resampled import lies_on
from napari_samnet.plugin.transfer.docks import Dock
from napari_samnet.plugin.transfer.inputs import Inputs
from napari_samnet.plugin.transfer.labels_kept import LabelsKept
from napari_samnet.plugin.transfer.matches import Matches
from napari_samnet.plugin.transfer.panel import Panel
from napari_samnet.plugin.widgets.choosers import LayerChooser, unwrapped


class Choices(Dock):
    """Layers, options and outputs that a run will use."""

    panel: Panel
    _inputs: Inputs
    _labels_kept: LabelsKept
    _labels_set: bool
    _pair_set: bool
    _matches: Matches

    @property
    def source(self) -> Layer | None:
        """The annotated image."""
        return self.panel.source.layer

    @property
    def target(self) -> Layer | None:
        """The image that shows something alike."""
        return self.panel.target.layer

    @property
    def labels(self) -> Layer | None:
        """Labels of the source."""
        return self.panel.labels.layer

    @property
    def options(self) -> MatchOptions:
        """How images are matched.

        Raises
        ------
        InputError
            If the fields do not fit together.
        """
        return self.panel.options.options()

    def set_source(
        self,
        layer: Layer | str,
        *,
        channel_axis: int | str | None = None,
    ) -> None:
        """Choose the annotated image.

        Parameters
        ----------
        layer : napari layer or str
            An image, or its name. If it was the target, the two are swapped.
        channel_axis : int or str, optional
            Leading axis that holds channels; 'planes' for none; 'together'
            if the layers that napari made of one image with `channel_axis`
            are the channels, this layer among them. By default what was
            declared before, or what the labels of the axes say.

        Raises
        ------
        InputError
            If there is no such image, or it cannot have these channels.
        """
        self._choose_image('source', layer, channel_axis)

    def set_target(
        self,
        layer: Layer | str,
        *,
        channel_axis: int | str | None = None,
    ) -> None:
        """Choose the image that shows something alike.

        Parameters
        ----------
        layer, channel_axis
            The same as in :meth:`set_source`, with what it raises. If the
            image was the source, the two are swapped.
        """
        self._choose_image('target', layer, channel_axis)

    def _choose_image(
        self, side: str, layer: Layer | str, channel_axis: int | str | None
    ) -> None:
        """Choose one image of the pair, and what its channels are."""
        chooser = getattr(self.panel, side)
        self._pair_set = True
        self._choose(chooser, layer, 'an image')
        if channel_axis is not None:
            self._inputs.channels.choose(chooser.layer, channel_axis)
            self.refresh()
        self._follow_pair()

    def set_labels(self, layer: Layer | str | None) -> None:
        """Choose the source's labels, by layer or name, or none.

        Raises
        ------
        InputError
            If there is no such layer of labels.
        """
        self._labels_set = True
        self._choose(self.panel.labels, layer, 'a layer of labels')

    def set_ids(self, ids: Sequence[int] | str | None = None) -> None:
        """Choose which labels are carried.

        Parameters
        ----------
        ids : sequence of int, 'selected' or None
            A list, the selected label of each layer, or all. What an earlier
            run found for other ids stays.

        Raises
        ------
        InputError
            If it is none of these.
        """
        self.panel.ids.choose(ids)
        self.refresh()

    def set_region(
        self,
        layer: Layer | str | None,
        *,
        leave_out: bool = False,
        image: str = 'source',
    ) -> None:
        """Choose the part of the images that is matched.

        Parameters
        ----------
        layer : napari layer, str or None
            Shapes that enclose it; None for all. Lines and paths do not
            count. On planes without any shape all is matched.
        leave_out : bool
            Leave out what is inside, and match all else.
        image : {'source', 'target', 'both'}
            Image that the region is of.

        Raises
        ------
        InputError
            If there is no such layer of shapes or image.
        """
        if image not in ('source', 'target', 'both'):
            raise InputError(
                f'a region is of source, target or both, got {image!r}'
            )
        self._choose(self.panel.region.layer, layer, 'a layer of shapes')
        self.panel.region.choose(leave_out=leave_out, image=image)
        self.refresh()

    def set_options(self, **options: Any) -> None:
        """Set some parameters of the match.

        Parameters
        ----------
        **options
            Values by the names of :class:`~napari_samnet.MatchOptions`.

        Raises
        ------
        InputError
            If one is not known or not possible; nothing is set then.
        """
        self.panel.options.set(options)

    def set_outputs(self, *names: str) -> None:
        """Choose the layers that a run adds.

        Parameters
        ----------
        *names : str
            Any of 'flow', 'labels', 'transferred', 'confidence' and
            'warped'.

        Raises
        ------
        InputError
            If one is not known.
        """
        try:
            self.panel.outputs.set(names)
        except KeyError as error:
            raise no_such('output', error.args, OUTPUTS) from None

    def set_planes(self, mode: str, *, axis: int = 0) -> None:
        """Choose what is matched where the images are stacks.

        Parameters
        ----------
        mode : {'current', 'pairwise', 'propagate'}
            The planes shown, all planes one by one, or labels through the
            source itself.
        axis : int
            Leading axis to propagate along.

        Raises
        ------
        InputError
            If there is no such mode or axis.
        """
        if mode not in MODES:
            raise InputError(
                f'planes must be one of {", ".join(MODES)}, got {mode!r}'
            )
        axes = range(max(1, self.panel.axis.count()))
        if axis not in axes:
            raise no_such('leading axis', [axis], axes)
        self.panel.mode.setCurrentIndex(list(MODES).index(mode))
        self.panel.axis.setCurrentIndex(axis)
        self.refresh()

    def reset_defaults(self) -> None:
        """Set every field that is no layer to its default."""
        self.panel.reset_fields()
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Bring the panel up to date with viewer and fields."""
        raise NotImplementedError

    def _suggest_labels(self) -> None:
        """Choose labels that lie on the source, until the user has chosen.

        Where there are only labels of the target, and nobody has chosen the
        pair, the target is the image that is annotated: the two are swapped.
        """
        source, target = self.source, self.target
        if self._labels_set or self.labels is not None or source is None:
            return
        known = self.panel.labels.layers
        kept, _ = self._labels_kept.of(source)
        if kept in known:
            self.panel.labels.choose(kept)
            return
        free = [
            layer
            for layer in known
            if not is_result(layer, self.viewer.layers)
            and not self._labels_kept.is_of_another(layer, source)
        ]
        for layer in free:
            if lies_on(grid_of(layer), grid_of(source)):
                self.panel.labels.choose(layer)
                return
        if target is None or self._pair_set or self._matches:
            return
        for layer in free:
            if lies_on(grid_of(layer), grid_of(target)):
                self.panel.pair.swap()
                self.panel.labels.choose(layer)
                return

    def _exchanged(self) -> None:
        """Let what belongs to an image follow it: the two were swapped.

        Where they lie does not tell: two images of one size cover each other.
        """
        source, target, panel = self.source, self.target, self.panel
        if source is None or target is None:
            return
        self._pair_set = True
        self._labels_kept.keep(target, self.labels, by_user=self._labels_set)
        labels, by_user = self._labels_kept.of(source)
        if labels not in panel.labels.layers:
            labels, by_user = None, by_user and labels is None
        panel.labels.choose(labels)
        self._labels_set = by_user
        panel.region.exchange()
        # What was to be filled belongs to what is the source now.
        panel.into.choose(None)
        self._suggest_labels()
        self.refresh()

    def _follow_pair(self) -> None:
        """Let labels that nobody chose follow the images."""
        labels, source = self.labels, self.source
        if self._labels_set or source is None:
            return
        # What was chosen for the user follows the image that he chose.
        if labels is not None and not lies_on(
            grid_of(labels), grid_of(source)
        ):
            self.panel.labels.choose(None)
        self._suggest_labels()

    def _layer(self, layer: Layer | str) -> Any:
        if isinstance(layer, str):
            if layer not in self.viewer.layers:
                names = [repr(each.name) for each in self.viewer.layers]
                raise no_such('layer', [repr(layer)], names)
            layer = self.viewer.layers[layer]
        layer = unwrapped(layer)
        if layer not in self.viewer.layers:
            told = repr(getattr(layer, 'name', layer))
            raise InputError(
                f'expected a layer of this viewer or its name, got {told}'
            )
        return layer

    def _choose(
        self, chooser: LayerChooser, layer: Layer | str | None, what: str
    ) -> None:
        chosen = None if layer is None else self._layer(layer)
        try:
            chooser.choose(chosen)
        except ValueError:
            name = getattr(chosen, 'name', None)
            raise InputError(f'{name!r} is not {what}') from None
