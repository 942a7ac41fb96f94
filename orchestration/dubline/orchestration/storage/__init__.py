"""The object store behind five verbs. The only package with boto3."""
