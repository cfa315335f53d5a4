"""From two images to a correspondence: :func:`~.match.match`."""
