from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from structlog.testing import capture_logs

from dubline.orchestration.domain.errors import EncoderFailedError, LeaseLostError, ScratchFullError
from dubline.worker.media import ffmpeg_process

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAME = np.zeros((64, 64, 3), dtype=np.uint8)


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_frames_are_counted_and_written() -> None:
    script = "import sys; sys.exit(len(sys.stdin.buffer.read()) != 3 * 64 * 64 * 3)"
    assert ffmpeg_process.run(python(script), [FRAME] * 3) == 3


def test_a_failure_has_its_exit_code_and_logs_the_diagnostics() -> None:
    script = "import sys; sys.stdin.buffer.read(); print('no /tmp/secret.mp4', file=sys.stderr); sys.exit(7)"
    with capture_logs() as events, pytest.raises(EncoderFailedError, match=r"exit code 7\. The attempt") as caught:
        ffmpeg_process.run(python(script), [FRAME])
    assert "secret" not in caught.value.detail
    (event,) = events
    assert (event["event"], event["stderr"]) == ("encoder_failed", ["no /tmp/secret.mp4"])


def test_an_early_exit_is_a_failure() -> None:
    with pytest.raises(EncoderFailedError, match="exit code 1"):
        ffmpeg_process.run(python("import sys; sys.stdin.close(); sys.exit('out of disk')"), [FRAME] * 1000)


def test_ffmpeg_is_killed_when_it_stops_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg_process, "STALL_LIMIT_S", 0.3)
    with pytest.raises(EncoderFailedError, match="read nothing"):
        ffmpeg_process.run(python("import signal; signal.pause()"), [FRAME] * 1000)


def test_ffmpeg_gets_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_BUCKET_SECRET_KEY", "hush")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    script = "import os, sys; sys.stdin.buffer.read(); sys.exit('hush' in os.environ.values())"
    assert ffmpeg_process.run(python(script), [FRAME]) == 1


def test_many_diagnostics_do_not_block() -> None:
    script = (
        "import sys\n"
        "for _ in range(20000): print('a warning that fills the pipe', file=sys.stderr)\n"
        "sys.stdin.buffer.read()"
    )
    assert ffmpeg_process.run(python(script), [FRAME] * 200) == 200


def test_ffmpeg_is_killed_when_it_does_not_exit() -> None:
    with pytest.raises(EncoderFailedError, match="did not stop"):
        ffmpeg_process.run(python("import signal; signal.pause()"), limit_s=0.3)


def test_a_missing_binary_is_a_failure() -> None:
    with pytest.raises(EncoderFailedError, match="cannot be started"):
        ffmpeg_process.run(["/nonexistent/ffmpeg"])


@pytest.mark.parametrize("error", [KeyError("the lease"), BrokenPipeError("of another process")])
def test_an_error_in_the_frames_is_raised(error: Exception) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield FRAME
        raise error

    with pytest.raises(type(error)):
        ffmpeg_process.run(python("import sys; sys.stdin.buffer.read()"), frames())


def test_a_full_disk_has_its_own_error() -> None:
    script = "import sys; sys.stdin.buffer.read(); sys.exit('av_interleaved_write_frame(): No space left on device')"
    with pytest.raises(ScratchFullError):
        ffmpeg_process.run(python(script), [FRAME])


@pytest.mark.parametrize(
    "script",
    ["import signal; signal.pause()", "import sys, signal; sys.stdin.buffer.read(); signal.pause()"],
    ids=["reads nothing", "does not exit"],
)
def test_a_lost_lease_ends_the_wait_for_ffmpeg(script: str) -> None:
    def lose() -> None:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        ffmpeg_process.run(python(script), [FRAME] * 100, report=lose)
