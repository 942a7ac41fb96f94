"""The embedded stack as a target, with handles on every process and connection."""
