"""From results to napari layers, and questions asked of them."""
