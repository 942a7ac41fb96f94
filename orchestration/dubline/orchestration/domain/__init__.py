"""Pure values and rules of the service: jobs, batches, uploads, leases, errors, admission, retries. No I/O."""
