"""From what the networks compute at their own side to whole frames in the encoder's pixel format."""
