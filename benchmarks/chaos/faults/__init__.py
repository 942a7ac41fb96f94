"""Faults: the schedule that is drawn from a seed, and the injector that carries it out."""
