"""Methods of the dock for scripts: annotated references and landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari.layers import Layer

from napari_samnet.errors import InputError
from napari_samnet.io.landmarks_csv import Landmarks
from napari_samnet.plugin.transfer.drops import Drops
from napari_samnet.plugin.transfer.landmarks import LandmarkControl
from napari_samnet.plugin.transfer.references import ReferenceControl


class GivenPairs(Drops):
    """What a user gives beside two images: more of them, or landmarks."""

    _landmarks: LandmarkControl
    _references: ReferenceControl

    @property
    def references(self) -> list[str]:
        """Names of the annotated images in the list."""
        return self._references.names

    def add_reference(
        self, image: Layer | str | Path, labels: Layer | str | Path
    ) -> None:
        """Add an annotated image to the list.

        Parameters
        ----------
        image, labels : napari layer, str or Path
            Two layers, or their names; or the paths of two files. Of a
            stack, every plane that has labels counts.

        Raises
        ------
        InputError
            If they do not fit, or there is no such layer or file.
        """
        parts = [
            part if isinstance(part, Path) else self._layer(part)
            for part in (image, labels)
        ]
        if len({isinstance(part, Path) for part in parts}) > 1:
            raise InputError(
                'an image and its labels must both be layers, or both files'
            )
        self._references.add(*parts)

    def remove_references(self) -> None:
        """Empty the list of annotated images."""
        self._references.remove(range(len(self.references)))

    def carry_references(
        self, *, wait: bool = False, timeout: float | None = None
    ) -> None:
        """Carry the labels of all annotated images in the list.

        They go to the plane of the target that is shown, or into the labels
        that 'Put into' names. Ids of different images are merged.

        Parameters
        ----------
        wait, timeout
            The same as in :meth:`run`, with what it raises.

        Raises
        ------
        InputError
            If the list is empty, or something does not fit.
        """
        self._references.carry()
        self._waited(wait, timeout)

    @property
    def landmarks(self) -> Landmarks:
        """Landmarks of the planes shown, those that are off included."""
        return self._landmarks.current

    def add_landmark(
        self,
        source: Sequence[float],
        target: Sequence[float],
        *,
        wait: bool = False,
    ) -> None:
        """Say that two points belong together; the match bends to them.

        Parameters
        ----------
        source, target : sequence of float
            Row and column in pixels of the plane of each image that is
            shown.
        wait : bool
            Whether to return only when the results have followed.

        Raises
        ------
        InputError
            If there are no two images.
        """
        one, other = (tuple(map(float, at)) for at in (source, target))
        self._landmarks.add((one[0], one[1]), (other[0], other[1]))
        if wait:
            self.wait()

    def remove_landmarks(self, *numbers: int, wait: bool = False) -> None:
        """Take landmarks away, and what they did with them.

        Parameters
        ----------
        *numbers : int
            Their numbers in the table; all of them if none is given.
        wait : bool
            Whether to return only when the results have followed.
        """
        if numbers:
            self._landmarks.remove(numbers)
        else:
            self._landmarks.remove_all()
        if wait:
            self.wait()

    def undo_landmarks(self, *, wait: bool = False) -> None:
        """Take back the last change of the landmarks.

        Parameters
        ----------
        wait : bool
            Whether to return only when the results have followed.
        """
        self._landmarks.undo()
        if wait:
            self.wait()

    def load_landmarks(
        self,
        path: str | Path,
        target: str | Path | None = None,
        *,
        wait: bool = False,
    ) -> None:
        """Read landmarks, which take the place of those there are.

        Parameters
        ----------
        path : path-like
            File of :meth:`save_landmarks` or of BigWarp; with `target`, the
            points of the source as napari saves them.
        target : path-like, optional
            The points of the target as napari saves them, in the same order.
        wait : bool
            Whether to return only when the results have followed.

        Raises
        ------
        InputError
            If it is no such file, or none of its points lies in the images.
        """
        self._landmarks.load(path, target)
        if wait:
            self.wait()

    def save_landmarks(self, path: str | Path) -> None:
        """Write the landmarks of the planes shown.

        Parameters
        ----------
        path : path-like
            CSV file, which appears whole or not at all. A name that ends in
            ``bigwarp.csv`` is written as BigWarp does.

        Raises
        ------
        InputError
            If there are none, or the file cannot be written.
        """
        self._landmarks.save(path)
