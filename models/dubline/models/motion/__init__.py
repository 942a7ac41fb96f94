"""Edits of sampled motion: motion controls, linear readouts, blinks and silence gating."""
