"""Generates the videos that are evaluated."""
