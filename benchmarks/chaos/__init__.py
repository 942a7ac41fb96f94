"""Chaos: kills, stops and cuts under load, a raw history of it all, and a checker that reads only the history."""
