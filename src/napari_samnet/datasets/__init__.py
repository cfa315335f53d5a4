"""Pairs of images: samples, known warps, published benchmarks, metrics."""

#: The sample pair of the demonstration.
DEMO_PAIR = 'kidney'
