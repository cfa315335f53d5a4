"""Moving arrays by a field: interpolation and blocks."""
