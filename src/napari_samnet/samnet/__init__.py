"""The network of the paper, Fig. 3. Torch only; no numpy, Qt or napari."""
