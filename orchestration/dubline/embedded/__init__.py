"""The embedded stack: the whole service with real servers as child processes in a temporary folder.

It is for demonstrations, tests and development. Programs are started by their command lines; no other package of
dubline is imported.
"""

from __future__ import annotations

from dubline.embedded.errors import EmbeddedError, Interrupted, NotInstalled, PartFailed
from dubline.embedded.interrupts import Interrupts
from dubline.embedded.session import run
from dubline.embedded.stack import Stack

__all__ = ["EmbeddedError", "Interrupted", "Interrupts", "NotInstalled", "PartFailed", "Stack", "run"]
