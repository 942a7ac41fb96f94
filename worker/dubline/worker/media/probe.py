"""Probing of one uploaded file: its facts, or the error that explains why it cannot be used.

The file is decoded in a separate process (`dubline.worker.media.examine`) with limits on memory, processor time and
wall time. A file that crashes the decoder ends only that process, and is rejected. No database, no bucket.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from dubline.orchestration.domain.errors import EmptyUploadError, MediaTruncatedError, from_code
from dubline.orchestration.domain.uploads import UploadFacts, UploadKind
from dubline.worker.media import environment
from dubline.worker.media.examine import Examination

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dubline.orchestration.settings import LimitSettings

_log = structlog.get_logger(__name__)

TIME_LIMIT_S: Final = 120.0
#: Longest time between two reports during an examination.
REPORT_S: Final = 0.5
#: Signals of an operator or of the kernel's out-of-memory killer, which do not depend on the file.
FROM_OUTSIDE: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGQUIT, signal.SIGTERM})


def probe(
    path: Path,
    kind: UploadKind,
    content_type: str,
    limits: LimitSettings,
    report: Callable[[], None] = lambda: None,
) -> UploadFacts:
    """Examine an uploaded file.

    Args:
        path: the file.
        kind: what the sender uploaded it as.
        content_type: declared media type.
        limits: largest image, shortest and longest speech.
        report: called at least every `REPORT_S` during the examination; an exception stops it.

    Returns:
        The facts to store.

    Raises:
        BadInputError: the subclass for the fault of the file.
        RuntimeError: the examination failed for a reason that does not depend on the file.
    """
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise EmptyUploadError
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    found = _examine(
        Examination(
            path=str(path),
            kind=kind.value,
            content_type=content_type,
            max_pixels=limits.portrait_px,
            shortest_s=limits.speech_min_s,
            longest_s=limits.speech_s,
        ),
        report,
    )
    return UploadFacts(size_bytes=size_bytes, sha256=sha256, **found)


def _examine(examination: Examination, report: Callable[[], None]) -> dict[str, Any]:
    """Run the examination process and read its result."""
    argument = json.dumps({name: getattr(examination, name) for name in Examination.__slots__})
    command = [sys.executable, "-m", "dubline.worker.media.examine", argument]
    done = _run(command, report)
    if -done.returncode in FROM_OUTSIDE:
        raise RuntimeError(f"the examination was stopped by signal {-done.returncode}")
    if done.returncode < 0:
        _log.warning("examination_killed", signal=-done.returncode, kind=examination.kind)
        raise MediaTruncatedError("The file cannot be decoded within limits. Re-encode it and upload it again.")
    if done.returncode > 0:
        raise RuntimeError(done.stderr.decode(errors="replace")[-2000:])
    result: dict[str, Any] = json.loads(done.stdout)
    if "code" in result:
        raise from_code(str(result["code"]), str(result["detail"]))
    if "face_box" in result:
        result["face_box"] = tuple(result["face_box"])
    return result


def _run(command: list[str], report: Callable[[], None]) -> subprocess.CompletedProcess[bytes]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # An exploited decoder must not find credentials of the bucket or the database.
        env=environment.minimal(),
    )
    until = time.monotonic() + TIME_LIMIT_S
    with process:
        try:
            while True:
                try:
                    stdout, stderr = process.communicate(timeout=min(REPORT_S, TIME_LIMIT_S))
                except subprocess.TimeoutExpired as error:
                    if time.monotonic() >= until:
                        raise MediaTruncatedError(
                            "The file takes too long to decode. Re-encode it and upload it again."
                        ) from error
                    report()
                else:
                    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
        finally:
            # No process is left behind, whatever ended the wait.
            process.kill()
