"""Films and stacks: labels of some planes carried to all others."""
