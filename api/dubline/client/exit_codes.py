"""Exit codes of the `dubline` command."""

from __future__ import annotations

import signal
from typing import Final

#: A job has failed, or a video could not be stored.
FAILED: Final = 1
#: The command cannot be run, as with wrong options.
USAGE_ERROR: Final = 2
INTERRUPTED: Final = 128 + signal.SIGINT
#: The reader of the output has closed it, as `head` does: 128 and the number of SIGPIPE, which Windows does not have.
UNREAD: Final = 141
