"""Face detection and the square crop around a face, shared by the worker and the training code."""
