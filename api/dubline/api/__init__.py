"""HTTP in, rows out: the public API over the store, the bucket and the queue."""
