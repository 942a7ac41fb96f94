"""The whole service on one machine: real servers as child processes in one temporary folder, gone at the end.

For demonstrations, tests and development. It knows how each program is started and nothing of what is inside:
no other part of dubline is imported here.
"""

from __future__ import annotations

from dubline.embedded.errors import EmbeddedError, Interrupted, NotInstalled, PartFailed
from dubline.embedded.interrupts import Interrupts
from dubline.embedded.session import run
from dubline.embedded.stack import Stack

__all__ = ["EmbeddedError", "Interrupted", "Interrupts", "NotInstalled", "PartFailed", "Stack", "run"]
