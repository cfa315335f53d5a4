"""Errors that a user can cause and can put right.

Every message is one line that says what was expected and what came, so that
the command line prints it and the plugin shows it without a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """The input cannot be used as it is."""


class WeightsError(InputError):
    """A weights file is missing, damaged, or belongs to another network."""


class TrainingError(InputError):
    """Training ended before its work was done."""


class DeviceError(InputError):
    """The requested device or precision is not there, or is out of memory."""


def in_one_line(error: BaseException, longest: int | None = 300) -> str:
    """What an error of any library says, fit for one line.

    Parameters
    ----------
    error : BaseException
        It may have no text, or one of many lines.
    longest : int or None
        Letters after which the text is cut; None for all of it, where we
        wrote it ourselves.

    Returns
    -------
    str
        Its words, or its kind if it has none.
    """
    return ' '.join(str(error).split())[:longest] or type(error).__name__


@contextmanager
def refused(what: str) -> Iterator[None]:
    """Raise whatever goes wrong inside as an error of one line.

    Decoders raise nearly anything on a damaged file. What is a line for
    people already stays as it is.

    Parameters
    ----------
    what : str
        What cannot be done, which stands before the reason.

    Raises
    ------
    InputError
        If anything goes wrong inside.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f'{what}: {in_one_line(error)}') from error


def cannot(what: str, error: OSError) -> InputError:
    """What to raise where the system refuses a file or folder.

    Parameters
    ----------
    what : str
        What was tried, such as 'read a.png'.
    error : OSError
        What the system said.

    Returns
    -------
    InputError
        Both in one line.
    """
    return InputError(f'cannot {what}: {error.strerror or error}')


def no_such(
    what: str, given: Iterable[object], known: Iterable[object]
) -> InputError:
    """What to raise where something is asked for that there is not.

    Parameters
    ----------
    what : str
        Its kind, such as 'option'.
    given : iterable
        What was asked for.
    known : iterable
        What could have been asked for.

    Returns
    -------
    InputError
        Both in one line.
    """
    asked = ', '.join(map(str, given)) or 'of no name'
    there = ', '.join(map(str, known))
    only = f'only {there}' if there else 'and no other one'
    return InputError(f'there is no {what} {asked}, {only}')
