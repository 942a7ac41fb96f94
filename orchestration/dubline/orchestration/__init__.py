"""The life cycle of uploads, jobs and batches: domain rules, database, bucket, broker and maintenance."""
