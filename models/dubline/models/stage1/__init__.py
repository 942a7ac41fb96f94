"""Stage 1: a source frame and motion latents to frames."""
