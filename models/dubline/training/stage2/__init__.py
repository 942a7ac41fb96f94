"""Stage 2's training: motion from speech, on the latents of a trained stage 1."""
