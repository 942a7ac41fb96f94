"""Phases: light jobs under every fault, and real renders under kills."""
