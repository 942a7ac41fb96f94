"""Pydantic models of requests and responses, one module per resource."""
