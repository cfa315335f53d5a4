"""``python -m napari_samnet`` is the ``napari-samnet`` command."""

from __future__ import annotations

import sys

from napari_samnet.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
