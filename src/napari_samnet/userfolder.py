"""Where a user's own networks and unfinished training runs are kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ['HOME_VARIABLE', 'user_folder']

#: Environment variable that names another folder.
HOME_VARIABLE = 'NAPARI_SAMNET_HOME'


def user_folder(part: str) -> Path:
    """Folder of the user's own files; it need not exist yet.

    Parameters
    ----------
    part : str
        Which part of it: 'weights' or 'training'.

    Returns
    -------
    Path
        Below what the environment variable NAPARI_SAMNET_HOME names, or
        else below the platform's folder for data of applications.
    """
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home).expanduser() / part
    return platformdirs.user_data_path('napari-samnet', False) / part
