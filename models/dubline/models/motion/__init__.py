"""Motion after sampling: linear readouts, motion controls, blinks and silence."""
