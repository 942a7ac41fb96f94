"""Scores of generated videos against references."""
