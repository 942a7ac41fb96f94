"""Values and rules of the service, without I/O: jobs, batches, uploads, leases, errors, admission, retry."""
