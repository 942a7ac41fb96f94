"""The third-party servers of the embedded stack: PostgreSQL, valkey and an S3 server."""
