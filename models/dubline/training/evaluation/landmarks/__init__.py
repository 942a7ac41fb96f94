"""Reads landmarks and identities off videos, in a process with its own environment."""
