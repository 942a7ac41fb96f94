"""Testbed: the embedded stack with access to its processes, its connection to the bucket, its rows and its logs."""
