"""Stage 2: speech to motion latents by diffusion."""
