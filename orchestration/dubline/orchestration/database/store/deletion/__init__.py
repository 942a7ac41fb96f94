"""Deletions that people ask for and that retention rules cause."""
