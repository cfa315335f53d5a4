"""The interface of the dock for scripts.

Everything a user can do with the mouse has a method here, with typed
arguments, and says what is wrong as an exception instead of a line.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from napari.layers import Layer

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError, no_such
from napari_samnet.outputs.verdict import Verdict
from napari_samnet.plugin.model.request import OUTPUTS
from napari_samnet.plugin.transfer.annotated_since import (
    annotated_since,
    find_annotation,
)
from napari_samnet.plugin.transfer.bending import Bending
from napari_samnet.plugin.transfer.given_pairs import GivenPairs
from napari_samnet.plugin.transfer.going_on import (
    axis_of,
    check_place,
    find_propagated,
    lock_planes,
    plan_course,
)
from napari_samnet.plugin.transfer.judging import ResultInspection
from napari_samnet.plugin.transfer.saved_match import SavedMatch
from napari_samnet.plugin.transfer.worst import WorstPlaces
from napari_samnet.series.schedule import Direction


class Scripting(GivenPairs):
    """Methods of the dock for scripts; see ``SemanticTransfer``."""

    _judging: ResultInspection
    _worst: WorstPlaces
    _bending: Bending
    _saved: SavedMatch

    @property
    def correspondence(self) -> Correspondence | None:
        """What the last run found, the last plane of a stack."""
        return self._showing.last

    def set_min_confidence(self, value: float) -> None:
        """Hide warped labels below a confidence.

        Parameters
        ----------
        value : float
            From 0, which hides nothing, to 1.

        Raises
        ------
        InputError
            If it is not from 0 to 1.
        """
        self._judging.set_min_confidence(value)

    def preview(
        self, mode: str = 'blend', amount: float = 0.5, *, wait: bool = False
    ) -> None:
        """Lay the warped target over the source.

        Parameters
        ----------
        mode : {'blend', 'checkerboard', 'off'}
            How it is done.
        amount : float
            From 0 to 1: share of the target, or fineness of the tiles.
        wait : bool
            Whether to return only when it is shown.

        Raises
        ------
        InputError
            If there is no such mode, or nothing was matched yet.
        """
        self._judging.preview(mode, amount)
        if wait:
            self.wait()

    def go_on(
        self,
        plane: int | None = None,
        *,
        direction: Direction = 'both',
        ids: Collection[int] | None = None,
        layer: Layer | str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Propagate again from a plane of a result that was corrected.

        Planes that were annotated, corrected since, or locked stay as they
        are and lead the others, and what was drawn in the annotation since
        is taken along; what changes is one step of undo.

        Parameters
        ----------
        plane : int, optional
            Plane to go on from, by its place on the axis; the one that is
            shown by default. It counts as annotated from now on.
        direction : {'both', 'forwards', 'backwards'}
            Which planes are done again, seen from there.
        ids : collection of int, optional
            The only labels to carry again. By default all are.
        layer : napari layer or str, optional
            The propagated result; by default the active or uppermost one.
        wait, timeout
            The same as in :meth:`run`, with what it raises.

        Raises
        ------
        InputError
            If there is no such result, or nothing on that plane.
        """
        result = self._propagated(layer)
        axis = axis_of(result, max(0, self.panel.axis.currentIndex()))
        self.set_planes('propagate', axis=axis)
        stack, _ = self._inputs.stacks()
        check_place(result, self.source, stack.grid)
        at = list(self._inputs.index_of(stack.grid))
        if plane is not None:
            last = stack.grid.leading[axis] - 1
            if not 0 <= plane <= last:
                raise InputError(
                    f'plane must be from 0 to {last}, got {plane}'
                )
            at[axis] = plane
        since = annotated_since(
            result,
            find_annotation(self.viewer, result, self.labels),
            tuple(at),
            axis,
        )
        course = plan_course(
            result, tuple(at), axis, direction=direction, ids=ids, since=since
        )
        # The others will be found again: they need not be copied.
        planes = [
            (*at[:axis], place, *at[axis + 1 :])
            for place in sorted(course.annotated or ())
        ]
        request = self._inputs.request([result], outputs=(), planes=planes)
        request = since.put_on(request, tuple(at), axis)
        self._start(request, course=course, onto=result)
        self._waited(wait, timeout)

    def lock_planes(
        self,
        *planes: int,
        locked: bool = True,
        layer: Layer | str | None = None,
    ) -> None:
        """Protect planes of a propagated result from :meth:`go_on`.

        Parameters
        ----------
        *planes : int
            Their places on the axis of the propagation.
        locked : bool
            False frees them again.
        layer : napari layer or str, optional
            The same as in :meth:`go_on`.

        Raises
        ------
        InputError
            If there is no such result.
        """
        lock_planes(self._propagated(layer), planes, locked=locked)

    def _propagated(self, layer: Layer | str | None) -> Any:
        if layer is not None:
            return self._layer(layer)
        if self.source is None:
            raise InputError('choose the stack as the source')
        grid = self._inputs.stack(self.source).grid
        return find_propagated(self.viewer, self.source, grid)

    @property
    def verdict(self) -> Verdict | None:
        """Whether the results of the last run can be used."""
        return self._worst.verdict

    def show_worst(self) -> str:
        """Move the view to the next place that the verdict names.

        Returns
        -------
        str
            One line that names the place; empty if there is none.
        """
        text = self._worst.show_next()
        if text:
            self._status.say(text)
        return text

    def ask(self, position: Sequence[float]) -> tuple[str, Any] | None:
        """Mark where a point of one image lies in the other.

        Parameters
        ----------
        position : sequence of float
            World coordinates, as of a click.

        Returns
        -------
        tuple of str and ndarray, or None
            Which image the answer is in, 'source' or 'target', and row and
            column there; None if there is none.
        """
        return self._landmarks.asking.answer(position)

    def add(
        self,
        *names: str,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Make further layers of the match there is, without a new run.

        Parameters
        ----------
        *names : str
            Any of 'flow', 'backward', 'labels', 'transferred', 'confidence'
            and 'warped'.
        wait, timeout
            The same as in :meth:`run`, with what it raises.

        Raises
        ------
        InputError
            If one is not known, or these planes were not matched yet.
        """
        unknown = set(names) - set(OUTPUTS)
        if unknown or not names:
            raise no_such('output', sorted(unknown), OUTPUTS)
        masks = None if 'labels' in names else ()
        request = self._inputs.request(masks, outputs=names)
        self._bending.make_more(request)
        self._waited(wait, timeout)

    def open_match(
        self,
        path: str | Path,
        *,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Take a saved match for that of the planes shown.

        Everything follows as after a run: outputs, drops, landmarks. One
        that leads the other way is inverted. Where the images are not open,
        it can still be applied.

        Parameters
        ----------
        path : path-like
            What :meth:`~napari_samnet.Correspondence.save` or
            :meth:`save_match` has written, which ends in ``.npz``.
        wait, timeout
            The same as in :meth:`run`, with what it raises.

        Raises
        ------
        InputError
            If it is no such file, or of images of other sizes.
        """
        self._saved.open(path)
        self._waited(wait, timeout)

    def save_match(self, path: str | Path) -> str:
        """Write the match of the planes shown, or its field.

        Parameters
        ----------
        path : path-like
            A name that ends in ``.npz`` for everything; in ``.flo``, ``.npy``
            or an ending of ITK for the field, see ``napari-samnet export``.

        Returns
        -------
        str
            One line on what was written.

        Raises
        ------
        InputError
            If there is no match, or it cannot be written.
        """
        return self._saved.save(path)

    def invert_match(
        self, *, wait: bool = False, timeout: float | None = None
    ) -> None:
        """Exchange source and target, without matching them anew.

        Parameters
        ----------
        wait, timeout
            The same as in :meth:`run`, with what it raises.

        Raises
        ------
        InputError
            If there is no match.
        """
        self._saved.invert()
        self._waited(wait, timeout)

    def apply_to(
        self,
        what: Layer | str | Path,
        *,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Carry something else from the source to the target.

        Parameters
        ----------
        what : napari layer, str or Path
            A layer or its name: annotations, or another channel or map on
            the grid of the source, of which the plane shown is carried; or
            the path of an image or of labels.
        wait, timeout
            The same as in :meth:`run`, with what it raises.

        Raises
        ------
        InputError
            If there is no match, or it does not fit.
        """
        self._saved.apply_to(
            what if isinstance(what, Path) else self._layer(what)
        )
        self._waited(wait, timeout)
