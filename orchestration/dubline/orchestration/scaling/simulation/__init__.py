"""A simulated pool of workers, and the policies that scale it."""
