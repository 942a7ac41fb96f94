"""The credentials in the environment of a worker: read once, then out of reach of every other child process."""

from __future__ import annotations

import os
import re
from typing import Final

#: Names of variables with credentials. A process that decodes gets a short list of other variables besides.
NAMES: Final = re.compile(
    r"DUBLINE_.*(URL|KEY|TOKEN|SECRET|PASSWORD)|AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|SECURITY_TOKEN)"
    r"|OTEL_EXPORTER_OTLP_(TRACES_)?HEADERS",
    re.IGNORECASE,
)


def remove() -> dict[str, str]:
    """Remove the credentials from the environment of this process and return them."""
    return {name: os.environ.pop(name) for name in list(os.environ) if NAMES.fullmatch(name)}
