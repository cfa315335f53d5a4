"""Arrays of any kind: checks, data types, tiles, resizing, lazy reading."""
