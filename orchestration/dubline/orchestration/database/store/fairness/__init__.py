"""The order of the queues: order keys of new work, refunds, and the row of a queue that is next."""
