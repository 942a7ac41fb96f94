"""What a light worker's parent takes for its child: hands its end of the line over, and ends as the real child does.

Run as a script: standard library only.
"""

from __future__ import annotations

import os
import socket
import sys


def main(address: str, fd: int, folder: str) -> int:
    """Have a child forked; give its exit code."""
    with socket.socket(socket.AF_UNIX) as forker:
        forker.connect(address)
        socket.send_fds(forker, [folder.encode()], [fd])
        os.close(fd)
        code = forker.recv(1)
        return code[0] if code else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
