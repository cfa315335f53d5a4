"""Qt parts that know nothing of the network."""
