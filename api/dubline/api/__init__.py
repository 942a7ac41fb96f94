"""The HTTP API over the database and the bucket."""
