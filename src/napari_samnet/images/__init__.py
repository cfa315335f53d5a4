"""Images of any kind as float RGB, and back."""
