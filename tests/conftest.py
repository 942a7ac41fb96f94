"""What every test runs under."""

import os

# Before torch is loaded: threads that spin at barriers starve the servers that tests start beside it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
