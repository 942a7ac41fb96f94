"""Executors: claim one job or upload, process it, record the outcome."""
