"""Fault campaign: faults injected into the running service under load, a raw history, and a checker of the history."""
