"""How much the output depends on each part of the networks."""
