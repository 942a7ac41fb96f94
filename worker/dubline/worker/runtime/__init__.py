"""The worker's processes: supervisor, child loop, shutdown, heartbeat, liveness and scratch space."""
