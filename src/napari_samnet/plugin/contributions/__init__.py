"""What the npe2 manifest names besides the docks."""
