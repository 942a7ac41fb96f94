"""Training samples of stage 1."""
