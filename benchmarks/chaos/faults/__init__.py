"""Faults: a seeded schedule and its injector."""
