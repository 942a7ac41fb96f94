"""Child proxy: the process that a light worker's supervisor starts in place of a real child.

It passes its channel to the fork server, which forks the real child, and ends with the exit code of that child. Run as
a script, with the standard library only.
"""

from __future__ import annotations

import os
import socket
import sys


def main(address: str, fd: int, folder: str) -> int:
    """Have a child forked; return its exit code.

    Args:
        address: Unix socket of the fork server.
        fd: the child's end of the channel to the supervisor.
        folder: scratch folder of the worker.
    """
    with socket.socket(socket.AF_UNIX) as fork_server:
        fork_server.connect(address)
        socket.send_fds(fork_server, [folder.encode()], [fd])
        os.close(fd)
        code = fork_server.recv(1)
        return code[0] if code else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
