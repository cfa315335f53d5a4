"""The napari side: the only part of the package that imports napari and Qt.

Layers are read once, when a run starts (:mod:`.capture`); the worker
(:mod:`.worker`, :mod:`.job`) sees arrays only and hands back products, which
:mod:`.results` turns into layers again. :mod:`.widget` joins the parts and
is the interface for scripts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_samnet.plugin.contributions.demo import open_demo
    from napari_samnet.plugin.transfer.widget import SemanticTransfer

__all__ = ['SemanticTransfer', 'open_demo']


def __getattr__(name: str) -> Any:
    """Import on first use, so that readers and samples do not pay for Qt."""
    if name == 'SemanticTransfer':
        from napari_samnet.plugin.transfer.widget import SemanticTransfer

        return SemanticTransfer
    if name == 'open_demo':
        from napari_samnet.plugin.contributions.demo import open_demo

        return open_demo
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
