"""End-to-end tests. A package, so that its stack is stopped after its last test."""
