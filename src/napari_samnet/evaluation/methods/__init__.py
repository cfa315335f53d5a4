"""Methods that are measured, from the identity to the network."""
