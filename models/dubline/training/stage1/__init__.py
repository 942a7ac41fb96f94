"""Training of stage 1: motion latents and renderer, from frame pairs."""
