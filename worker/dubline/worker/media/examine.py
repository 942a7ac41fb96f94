"""The process that decodes one uploaded file with limited resources: `python -m dubline.worker.media.examine JSON`.

Started by `dubline.worker.media.probe` for each file. It prints one JSON object: the facts, or an error code with a
sentence.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MEMORY_BYTES: Final = 2 << 30
PROCESSOR_S: Final = 100

if __name__ == "__main__":
    # Before the imports of numpy and the decoders, which size thread pools and memory arenas at import.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The soft limit sends SIGXCPU, which distinguishes a slow file from a kill; the hard limit sends SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))

from dubline.framing import face  # noqa: E402
from dubline.orchestration.domain.errors import (  # noqa: E402
    BadInputError,
    MediaTruncatedError,
    NoFaceError,
    WrongContentTypeError,
)
from dubline.orchestration.domain.uploads import UploadKind  # noqa: E402
from dubline.worker.media import frame, image, track  # noqa: E402
from dubline.worker.media.container import identify  # noqa: E402

#: Declared types that match every file, because the sender did not name one.
UNDECLARED: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
IMAGE_DECLARED_AS: Final = {"image/jpeg": frozenset({"image/jpeg", "image/jpg", "image/pjpeg"})}


@dataclass(frozen=True, slots=True)
class Examination:
    """The arguments of the examination process, passed as JSON on its command line."""

    path: str
    """The file."""
    kind: str
    """portrait or speech."""
    content_type: str
    """Declared media type."""
    max_pixels: int
    """Largest accepted portrait, width times height."""
    shortest_s: float
    """Shortest accepted speech."""
    longest_s: float
    """Longest accepted speech."""


def examine(question: Examination) -> dict[str, object]:
    """Decode one file.

    Args:
        question: the file, its declared kind and type, and the limits.

    Returns:
        Keyword arguments of `UploadFacts`, JSON types only.

    Raises:
        BadInputError: the subclass for the fault of the file.
    """
    try:
        if question.kind == UploadKind.PORTRAIT:
            return _portrait(question)
        return _speech(question)
    except MemoryError as error:
        raise MediaTruncatedError(
            "The file needs too much memory to decode. Re-encode it and upload it again."
        ) from error


def _portrait(question: Examination) -> dict[str, object]:
    path = Path(question.path)
    media_type = image.identify(path)
    _compare(media_type, IMAGE_DECLARED_AS.get(media_type, frozenset({media_type})), question.content_type)
    picture = image.load(path, question.max_pixels)
    box = face.find(picture)
    if box is None:
        raise NoFaceError
    frame.face_in_video(box, *picture.size)
    edges = (box.left, box.top, box.right, box.bottom)
    return {
        "media_type": media_type,
        "width_px": picture.width,
        "height_px": picture.height,
        "face_box": [round(edge) for edge in edges],
    }


def _speech(question: Examination) -> dict[str, object]:
    path = Path(question.path)
    container = identify(path)
    _compare(container.media_type, container.declared_as, question.content_type)
    measured = track.measure(path, question.shortest_s, question.longest_s)
    return {"media_type": container.media_type, "duration_s": measured.duration_s}


def _compare(media_type: str, declared_as: frozenset[str], declared: str) -> None:
    essence = declared.partition(";")[0].strip().lower()
    if essence not in declared_as | UNDECLARED:
        raise WrongContentTypeError(
            f"The file was declared as {essence} but is {media_type}. Declare its type, or send another file."
        )


def main(question: str) -> None:
    """Examine one file and print the result.

    Args:
        question: a JSON object with the fields of `Examination`.
    """
    try:
        result = examine(Examination(**json.loads(question)))
    except BadInputError as error:
        result = {"code": error.code, "detail": error.detail}
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
