"""A worker process as the container of a pod: its host name is the name of the pod. Run as `python pod.py`."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from tests.integration.worker import light

from dubline.worker import child
from dubline.worker.__main__ import serve

if __name__ == "__main__":
    # A container has a host name of its own; a process of this machine has not.
    socket.gethostname = lambda: os.environ["HOSTNAME"]
    if len(sys.argv) > 1:
        sys.exit(child.work(light.make, int(sys.argv[1]), Path(sys.argv[2])))
    sys.exit(serve("render", [sys.executable, __file__]))
