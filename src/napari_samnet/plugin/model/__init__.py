"""What a run is asked for: grids, masks and arrays, captured once."""
