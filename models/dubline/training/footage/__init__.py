"""Extracts training clips from videos of people who talk."""
