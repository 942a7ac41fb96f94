"""Stage 1: source frame and motion latents to frames."""
