"""Measuring correspondence and attribute transfer, next to other methods.

One module per idea: :mod:`metrics` computes scores from plain arrays,
:mod:`manifests` and :mod:`layouts` find pairs and their ground truth on
disk, :mod:`protocols` says how a pair is scored, :mod:`methods`,
:mod:`baselines`, :mod:`learned` and :mod:`color` hold what is measured, and
:mod:`benchmark` runs methods over pairs. Nothing here needs napari, and torch
is only imported when a method that needs it is asked for.
"""
