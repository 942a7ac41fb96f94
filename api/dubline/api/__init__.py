"""HTTP in, rows out: the public API over the store and the bucket."""
