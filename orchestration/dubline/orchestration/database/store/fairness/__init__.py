"""The order of the queues: order keys of new work, refunds, and the selection of what is claimed next."""
