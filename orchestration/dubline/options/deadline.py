"""The bounds of a job's deadline."""

from __future__ import annotations

from typing import Final

#: Seconds from the acceptance of a job.
DEADLINE_MIN_S: Final = 1.0
DEADLINE_MAX_S: Final = 30 * 86_400.0
