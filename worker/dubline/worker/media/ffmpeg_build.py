"""The build of the ffmpeg binary: its version, its configuration and the versions of its libraries."""

from __future__ import annotations

import subprocess
from typing import Final

import imageio_ffmpeg

from dubline.orchestration.domain.errors import EncoderFailedError

#: It answers at once; loading the binary from a cold disk takes longer.
ANSWER_LIMIT_S: Final = 60.0


def read() -> bytes:
    """Return what the binary tells about its build.

    Raises:
        EncoderFailedError: it cannot be started, or does not answer.
    """
    try:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-version"]
        return subprocess.run(command, check=True, capture_output=True, timeout=ANSWER_LIMIT_S).stdout
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise EncoderFailedError("ffmpeg cannot be started. Install the extra `worker` again.") from error
