"""Faster ways to compute the same: CUDA graphs and Triton."""
