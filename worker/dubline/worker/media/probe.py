"""Looks at one uploaded file and says what it is, or which typed error it deserves; knows no rows, no bucket.

The file is decoded in a process of its own (`dubline.worker.media.examine`) under limits on memory, processor and
time: a file made to break a decoder can end that process, and then the file is refused, not the prober.
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
#: How often it is reported that the examination goes on.
REPORT_S: Final = 0.5
#: Signals that somebody else sends: an operator, the kernel short of memory. They say nothing about the file.
FROM_OUTSIDE: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGQUIT, signal.SIGTERM})


def keep_quiet() -> None:
    """Report to nobody."""


def probe(
    path: Path,
    kind: UploadKind,
    content_type: str,
    limits: LimitSettings,
    report: Callable[[], None] = keep_quiet,
) -> UploadFacts:
    """Examine an uploaded file.

    Args:
        path: the file.
        kind: what the sender wants to use it for.
        content_type: media type as declared.
        limits: on pixels and seconds.
        report: called at least every `REPORT_S` while the file is examined; what it raises ends the examination.

    Returns:
        The facts to keep.

    Raises:
        BadInputError: some subclass that says what is wrong with the file.
        RuntimeError: the examination itself is broken, which is no fault of the file.
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
    """Run the examining process and reads its verdict."""
    question = json.dumps({name: getattr(examination, name) for name in Examination.__slots__})
    command = [sys.executable, "-m", "dubline.worker.media.examine", question]
    done = _run(command, report)
    if -done.returncode in FROM_OUTSIDE:
        raise RuntimeError(f"the examination was stopped by signal {-done.returncode}")
    if done.returncode < 0:
        _log.warning("examination_killed", signal=-done.returncode, kind=examination.kind)
        raise MediaTruncatedError("The file cannot be decoded within limits. Encode it anew and upload it.")
    if done.returncode > 0:
        raise RuntimeError(done.stderr.decode(errors="replace")[-2000:])
    verdict: dict[str, Any] = json.loads(done.stdout)
    if "code" in verdict:
        raise from_code(str(verdict["code"]), str(verdict["detail"]))
    if "face_box" in verdict:
        verdict["face_box"] = tuple(verdict["face_box"])
    return verdict


def _run(command: list[str], report: Callable[[], None]) -> subprocess.CompletedProcess[bytes]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Whoever breaks a decoder finds no key to the bucket or the database there.
        env=environment.bare(),
    )
    until = time.monotonic() + TIME_LIMIT_S
    with process:
        try:
            while True:
                try:
                    output, words = process.communicate(timeout=min(REPORT_S, TIME_LIMIT_S))
                except subprocess.TimeoutExpired as error:
                    if time.monotonic() >= until:
                        raise MediaTruncatedError(
                            "The file takes too long to decode. Encode it anew and upload it."
                        ) from error
                    report()
                else:
                    return subprocess.CompletedProcess(command, process.returncode, output, words)
        finally:
            # Whatever ended the wait must not leave a process behind.
            process.kill()
