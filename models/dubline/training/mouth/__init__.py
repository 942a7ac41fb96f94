"""Trains the mouth-eye refiner's part for mouths, with an adversary, on inputs that are computed once."""
