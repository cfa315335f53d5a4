"""What is written and drawn of a correspondence."""
