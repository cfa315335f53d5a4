"""What runs have written into a folder, so that nothing else is overwritten.

A result that was corrected by hand looks like any other file. So each run
notes what it writes, and only that may be replaced by the next one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from napari_samnet.errors import InputError, cannot
from napari_samnet.files import replace_folder

#: Hidden file in a folder of results: a line for each file that was written,
#: its digest and its name. Lines are only added, so that what a run has done
#: is known however it ends.
NOTES = '.napari-samnet-written'

#: What the name of a file with labels ends in, where it is called after its
#: image.
LABELS_ENDING = '_labels.tif'

_OTHER_FOLDER = 'choose another folder with --out'


class WrittenFiles:
    """The files of a folder that runs have written, as they left them.

    ``folder``: folder of results; it need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._digests: dict[str, set[str]] = {}
        with suppress(FileNotFoundError, NotADirectoryError):
            try:
                lines = (folder / NOTES).read_text('utf-8', 'replace')
            except PermissionError as error:
                raise cannot(f'read {folder / NOTES}', error) from error
            for line in lines.splitlines():
                digest, _, name = line.partition(' ')
                self._digests.setdefault(name, set()).add(digest)

    def is_ours(self, name: str) -> bool:
        """Whether a file is there as a run has written it."""
        known = self._digests.get(name, set())
        return bool(known) and digest_of(self.folder / name) in known

    def has_written(self, name: str) -> bool:
        """Whether a run has written a file of this name, changed or not."""
        return name in self._digests

    def check(
        self,
        names: Iterable[str],
        *,
        read: Iterable[Path] = (),
        otherwise: str = _OTHER_FOLDER,
    ) -> None:
        """Refuse to overwrite what is not as a run left it.

        ``names``: files that are about to be written.
        ``read``: files that this is made from.
        ``otherwise``: what can be done instead of moving the file away.
        Raises InputError if one of the files was changed since, is not ours,
        or is read.
        """
        given = {file.resolve() for file in read}
        for name in names:
            file = self.folder / name
            if not os.path.lexists(file):
                continue
            if file.resolve() in given:
                raise InputError(
                    f'{file} would be overwritten, but is read: {otherwise}'
                )
            if name not in self._digests:
                raise InputError(
                    f'{file} is there already and no run has written it: '
                    f'move it away, or {otherwise}'
                )
            if not self.is_ours(name):
                raise InputError(
                    f'{file} was changed after it was written: move it '
                    f'away, or {otherwise}'
                )

    def changed(self, names: Iterable[str]) -> list[str]:
        """Files that a run has written, and somebody has changed since."""
        return [
            name
            for name in names
            if name in self._digests
            and os.path.lexists(self.folder / name)
            and not self.is_ours(name)
        ]

    def note(self, name: str, file: Path | None = None) -> None:
        """Note that a file of this name is ours.

        ``file``: where it is until it is moved here; by default it is here.
        Raises InputError if that cannot be written down.
        """
        digest = digest_of(file or self.folder / name)
        known = self._digests.setdefault(name, set())
        if not digest or digest in known:
            return
        known.add(digest)
        try:
            with open(self.folder / NOTES, 'a', encoding='utf-8') as notes:
                notes.write(f'{digest} {name}\n')
        except OSError as error:
            raise cannot(f'write {self.folder / NOTES}', error) from error

    def put(self, draft: Path) -> Path:
        """Move a file or folder here, in the place of an earlier one.

        Returns: where it is now. Raises OSError if it cannot be moved.
        """
        final = self.folder / draft.name
        self.note(draft.name, draft)
        if draft.is_dir():
            replace_folder(draft, final)
        else:
            os.replace(draft, final)
        return final

    def drop(self, name: str) -> None:
        """Delete a file or folder of an earlier run that nobody changed."""
        if self.is_ours(name):
            file = self.folder / name
            if file.is_dir():
                shutil.rmtree(file)
            else:
                file.unlink()


def digest_of(file: Path) -> str:
    """Digest of the content of a file, or of all files of a folder.

    Returns: empty if there is nothing, or it cannot be read.
    """
    made = hashlib.blake2b(digest_size=16)
    try:
        if file.is_dir():
            for part in sorted(file.rglob('*')):
                if part.is_file():
                    name = part.relative_to(file).as_posix()
                    made.update(f'{name} {digest_of(part)}\n'.encode())
            return made.hexdigest()
        with open(file, 'rb') as content:
            return hashlib.file_digest(content, lambda: made).hexdigest()
    except OSError:
        return ''
