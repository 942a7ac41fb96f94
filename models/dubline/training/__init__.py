"""The training room: corpus in, weights out. Never imported by the worker."""
