"""The process that examines one uploaded file: `python -m dubline.worker.media.examine FD`.

Started by `dubline.worker.media.probe` for each file. It answers with one JSON object, the facts.
"""

from __future__ import annotations

import sys

from dubline.worker.media import sandbox

if __name__ == "__main__":
    sandbox.limit()

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from dubline.framing import face
from dubline.orchestration.domain.errors import NoFaceError, WrongContentTypeError
from dubline.orchestration.domain.uploads import UploadKind
from dubline.worker.media import frame, image, track
from dubline.worker.media.container import identify

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Declared types that match every file, because the sender did not name one.
UNDECLARED: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
IMAGE_DECLARED_AS: Final = {"image/jpeg": frozenset({"image/jpeg", "image/jpg", "image/pjpeg"})}


@dataclass(frozen=True, slots=True)
class Examination:
    """The question to the examination process."""

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


def examine(question: Examination, file: BinaryIO) -> dict[str, object]:
    """Decode one file.

    Args:
        question: the declared kind and type, and the limits.
        file: the file.

    Returns:
        Keyword arguments of `UploadFacts`, JSON types only.

    Raises:
        BadInputError: the subclass for the fault of the file.
    """
    return _portrait(question, file) if question.kind == UploadKind.PORTRAIT else _speech(question, file)


def _portrait(question: Examination, file: BinaryIO) -> dict[str, object]:
    media_type = image.identify(file)
    _compare(media_type, IMAGE_DECLARED_AS.get(media_type, frozenset({media_type})), question.content_type)
    picture = image.load(file, question.max_pixels)
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


def _speech(question: Examination, file: BinaryIO) -> dict[str, object]:
    container = identify(file)
    _compare(container.media_type, container.declared_as, question.content_type)
    measured = track.measure(file, question.shortest_s, question.longest_s)
    return {"media_type": container.media_type, "duration_s": measured.duration_s}


def _compare(media_type: str, declared_as: frozenset[str], declared: str) -> None:
    essence = declared.partition(";")[0].strip().lower()
    if essence not in declared_as | UNDECLARED:
        raise WrongContentTypeError(
            f"The file was declared as {essence} but is {media_type}. Declare its type, or send another file."
        )


def answer(asked: dict[str, Any], files: list[BinaryIO]) -> Iterator[bytes]:
    """Yield the facts of one file as JSON; `asked` has the fields of `Examination`."""
    yield json.dumps(examine(Examination(**asked), files[0])).encode()


if __name__ == "__main__":
    sys.exit(sandbox.work(answer))
