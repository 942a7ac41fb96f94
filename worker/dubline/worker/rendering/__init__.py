"""Rendering: from the two files of a job to one video, with checkpoints and a model cache."""
