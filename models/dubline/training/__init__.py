"""Training: clips in, weights out. Never imported by the worker."""
