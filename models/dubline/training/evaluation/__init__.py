"""Evaluates trained networks on held-out material."""
