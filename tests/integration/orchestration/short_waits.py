"""The service's commands without the wait for live workers after a start, and with a short one for runs that hang.

`maintenance/test_rescuer.py` tests the first wait, and `maintenance/test_scheduler.py` the other.
"""

from __future__ import annotations

import sys

from dubline.orchestration.__main__ import main
from dubline.orchestration.maintenance import rescuer, scheduler

if __name__ == "__main__":
    rescuer.GRACE_PERIOD_S = 0.0
    scheduler.STOP_TIMEOUT_S = 0.2
    sys.exit(main())
