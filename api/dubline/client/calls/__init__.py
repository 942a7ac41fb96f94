"""Typed HTTP calls, one module for each noun of the API."""
