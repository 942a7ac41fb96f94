"""The comparison phase: plain Celery under the same kills."""
