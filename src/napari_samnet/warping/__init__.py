"""Moving arrays by a field: interpolation, blocks, and the labels' vote."""
