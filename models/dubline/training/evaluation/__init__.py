"""The measuring bench: plays released weights in three modes, compares them with baselines, and says what came out."""
