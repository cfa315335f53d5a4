"""Attribute transfer for display: colors of the target on the source."""
