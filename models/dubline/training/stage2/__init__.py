"""Training of stage 2: motion from speech."""
