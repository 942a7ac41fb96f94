"""Trains the network that reads the lip gap of source frames."""
