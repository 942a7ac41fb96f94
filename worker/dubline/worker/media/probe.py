"""Probing of one uploaded file: its facts, or the error that explains why it cannot be used.

The file is decoded in a sandboxed process, `dubline.worker.media.examine`. No database, no bucket.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from dubline.orchestration.domain.errors import EmptyUploadError
from dubline.orchestration.domain.faces import faces_from_json
from dubline.orchestration.domain.uploads import UploadFacts, UploadKind
from dubline.worker.media import decoder
from dubline.worker.media.examination import Examination

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dubline.orchestration.settings import LimitSettings


#: Longest answer of an examination.
ANSWER_BYTES: Final = 1 << 16


def probe(
    path: Path,
    kind: UploadKind,
    limits: LimitSettings,
    report: Callable[[], None] = lambda: None,
) -> UploadFacts:
    """Examine an uploaded file.

    Args:
        path: the file.
        kind: what the sender uploaded it as.
        limits: largest image, shortest and longest speech.
        report: called at least every `decoder.REPORT_S` during the examination; an exception stops it.

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
            kind=kind.value,
            max_pixels=limits.portrait_px,
            shortest_s=limits.speech_min_s,
            longest_s=limits.speech_s,
        ),
        path,
        report,
    )
    return UploadFacts(size_bytes=size_bytes, sha256=sha256, **found)


def _examine(examination: Examination, path: Path, report: Callable[[], None]) -> dict[str, Any]:
    """Run the examination process and read its result."""
    question = {name: getattr(examination, name) for name in Examination.__slots__}
    with decoder.started("examine", [path], report) as process:
        result: dict[str, Any] = json.loads(b"".join(process.ask(question, ANSWER_BYTES)))
    if "faces" in result:
        try:
            result["faces"] = faces_from_json(result["faces"])
            result["face_box"] = result["faces"][0].box
        except (ValueError, IndexError) as error:
            raise decoder.undecodable() from error
    return result
