"""Measuring correspondence and attribute transfer, next to other methods.

:mod:`~napari_samnet.evaluation.protocols` says how a pair is scored,
:mod:`~napari_samnet.evaluation.methods` holds what is measured, and
:mod:`~napari_samnet.evaluation.benchmark` runs methods over pairs. Nothing
here needs napari, and torch is only imported when a method that needs it is
asked for.
"""
