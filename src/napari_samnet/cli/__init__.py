"""The command line, ``napari-samnet``: one module per command."""
