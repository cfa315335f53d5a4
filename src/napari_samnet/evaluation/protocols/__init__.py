"""What is measured: one protocol per kind of ground truth."""
