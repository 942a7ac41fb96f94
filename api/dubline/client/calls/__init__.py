"""Typed HTTP calls, one module per resource of the API."""
