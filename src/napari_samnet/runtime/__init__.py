"""What surrounds the network when it runs: devices, weights, fast backends."""
