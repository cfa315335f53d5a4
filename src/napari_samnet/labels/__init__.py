"""Labels of annotated images on another image.

:mod:`~napari_samnet.labels.evidence` asks all cells of the annotated images,
:mod:`~napari_samnet.labels.scores` weighs what they say against the field
(:mod:`~napari_samnet.labels.brought`),
:mod:`~napari_samnet.labels.outlines` moves outlines to the image's edges, and
:mod:`~napari_samnet.labels.kernel` puts the outcome into blocks of a grid.
"""
