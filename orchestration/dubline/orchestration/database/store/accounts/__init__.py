"""Tenants, their keys, their usage and the audit log."""
