"""Many pairs in one run, on all cores or on many computers.

:mod:`~napari_samnet.batch.pairs` reads what is to be done,
:mod:`~napari_samnet.batch.work` does one pair,
:mod:`~napari_samnet.batch.workers` say where, and
:mod:`~napari_samnet.batch.run` keeps all of them busy.
"""
