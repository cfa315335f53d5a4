"""The dock *Semantic transfer*."""
