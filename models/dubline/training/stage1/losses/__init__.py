"""Loss terms of stage 1."""
