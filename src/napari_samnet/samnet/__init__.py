"""The network of the paper, Fig. 3, in torch; nothing else of the package."""
