"""Stage 1's training: motion latents and the renderer, from frame pairs."""
