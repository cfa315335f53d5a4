"""Pairs of images: samples, known warps, published benchmarks, metrics."""
