"""The life of a job: what is kept in the database, the bucket and the broker, and who may change it."""
