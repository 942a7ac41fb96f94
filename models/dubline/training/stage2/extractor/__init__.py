"""Training of the articulation extractor alone, from released weights."""
