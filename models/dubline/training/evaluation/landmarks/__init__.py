"""Measures landmarks and identity on videos, in a process with its own environment."""
