"""Errors that a user can cause and can put right.

Every message is one line that says what was expected and what came, so that
the command line prints it and the plugin shows it without a traceback.
"""

from __future__ import annotations

__all__ = ['DeviceError', 'InputError', 'TrainingError', 'WeightsError']


class InputError(ValueError):
    """The input cannot be used as it is."""


class WeightsError(InputError):
    """A weights file is missing, damaged, or belongs to another network."""


class TrainingError(InputError):
    """Training ended before its work was done."""


class DeviceError(InputError):
    """The requested device or precision is not there, or is out of memory."""
