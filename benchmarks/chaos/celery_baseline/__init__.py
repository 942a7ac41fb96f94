"""Celery baseline: a plain Celery application under the same kills."""
