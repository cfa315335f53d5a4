"""The dock *Fine-tune*."""
