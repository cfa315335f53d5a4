"""Several annotated images in the dock: a list, and one button for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.into import check_into
from napari_samnet.plugin.model.annotations import capture_mask
from napari_samnet.plugin.model.capture import Stack
from napari_samnet.plugin.model.request import Outcome
from napari_samnet.plugin.run.references import (
    AnnotatedFile,
    AnnotatedLayer,
    references_steps,
)
from napari_samnet.plugin.run.tasks import Task
from napari_samnet.plugin.transfer.control import Control, DockParts


@dataclass(frozen=True)
class _Entry:
    """Image and labels: two layers, or two files."""

    image: Any
    labels: Any

    @property
    def text(self) -> str:
        return f'{_name(self.image)} + {_name(self.labels)}'


def _name(part: Any) -> str:
    return part.name if isinstance(part, Path) else str(part.name)


class ReferenceControl(Control):
    """Keeps the list of annotated images, and asks them."""

    def __init__(self, dock: DockParts) -> None:
        super().__init__(dock)
        self._entries: list[_Entry] = []
        shown, status = dock.panel.references, dock.status
        shown.add.clicked.connect(partial(status.attempt, self.add_source))
        shown.files.clicked.connect(self._on_files)
        shown.removed.connect(self.remove)
        shown.run.clicked.connect(lambda: status.attempt(self.carry))

    @property
    def names(self) -> list[str]:
        """One line for each reference."""
        return [entry.text for entry in self._entries]

    def add_source(self) -> None:
        """Add the source with its labels."""
        source = self._panel.source.layer
        labels = self._panel.labels.layer
        if source is None or labels is None:
            raise InputError('choose an image and its labels to add them')
        self.add(source, labels)

    def add(self, image: Any, labels: Any) -> None:
        """Add two layers or two files.

        Raises InputError if the labels do not lie on the image, or a file is
        missing.
        """
        entry = _Entry(image, labels)
        if isinstance(image, Path):
            for path in (image, labels):
                if not path.is_file():
                    raise InputError(f'there is no file {path}')
        else:
            self._captured(entry)
        if entry not in self._entries:
            self._entries.append(entry)
        self.refresh()

    def remove(self, places: Iterable[int]) -> None:
        """Take references out of the list, by their places in it."""
        gone = set(places)
        self._entries = [
            entry for n, entry in enumerate(self._entries) if n not in gone
        ]
        self.refresh()

    def refresh(self) -> None:
        """Show the list, without layers that were removed."""
        layers = set(self._viewer.layers)
        self._entries = [
            entry
            for entry in self._entries
            if isinstance(entry.image, Path)
            or {entry.image, entry.labels} <= layers
        ]
        self._panel.references.show_names(
            self.names, possible=self._panel.target.layer is not None
        )

    def carry(self) -> None:
        """Carry the labels of all references to the target shown.

        Raises InputError if there is no reference or no target, or one does
        not fit.
        """
        target = self._panel.target.layer
        if target is None:
            raise InputError('choose a target to carry labels to')
        if not self._entries:
            raise InputError('add an annotated image to the list first')
        stack = self._inputs.stack(target)
        at = self._inputs.index_of(stack.grid)
        into = self._panel.into.layer
        if into is not None:
            check_into(into, stack.grid)
        make = partial(
            references_steps,
            [self._captured(entry) for entry in self._entries],
            stack,
            at,
            self._panel.options.options(),
        )
        done = partial(self._show, stack, into)
        self._tasks.add(Task('Several annotated images', make, done))

    def _captured(self, entry: _Entry) -> AnnotatedLayer | AnnotatedFile:
        if isinstance(entry.image, Path):
            return AnnotatedFile(entry.image, entry.labels)
        stack = self._inputs.stack(entry.image)
        at = self._inputs.index_of(stack.grid)
        mask = capture_mask(entry.labels, stack.grid, at=at)
        return AnnotatedLayer(stack, mask, at)

    def _show(
        self, target: Stack, into: Any, outcome: Outcome
    ) -> Iterator[Any]:
        self._worst.take_alone(outcome.verdict)
        layers = {layer.unique_id: layer for layer in self._viewer.layers}
        for product in outcome.products:
            written = self._write_into(into, product, target.grid)
            if written is not None:
                yield written
                continue
            if target.uid in layers:
                now = self._inputs.stack(layers[target.uid]).grid
                grid = product.grid.moved_with(target.grid, now)
                product = replace(product, grid=grid)
            yield from self._put([product])

    def _on_files(self) -> None:
        image, _ = QFileDialog.getOpenFileName(
            self._panel, 'Annotated image', ''
        )
        if not image:
            return
        labels, _ = QFileDialog.getOpenFileName(
            self._panel, f'Labels of {Path(image).name}', str(Path(image))
        )
        if labels:
            self._status.attempt(partial(self.add, Path(image), Path(labels)))
