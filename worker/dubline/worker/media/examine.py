"""The process that examines one uploaded file, a fork of `python -m dubline.worker.media.examine SOCKET_FD`.

Started by `dubline.worker.media.probe` for each file. It answers with one JSON object, the facts.
"""

from __future__ import annotations

import sys

from dubline.worker.media import sandbox

if __name__ == "__main__":
    sandbox.limit()

import json
from typing import TYPE_CHECKING, Any, BinaryIO

from dubline.orchestration.domain.uploads import UploadKind
from dubline.worker.media import faces, image, template, track
from dubline.worker.media.examination import Examination

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    portrait = image.load(file, question.max_pixels)
    found = faces.judged(portrait)
    return {
        "media_type": media_type,
        "width_px": portrait.width_px,
        "height_px": portrait.height_px,
        "face_box": found[0].box,
        "faces": [one.as_json() for one in found],
    }


def _speech(question: Examination, file: BinaryIO) -> dict[str, object]:
    measured = track.measure(file, question.shortest_s, question.longest_s)
    return {"media_type": measured.container.media_type, "duration_s": measured.duration_s}


def answer(asked: dict[str, Any], files: list[BinaryIO]) -> Iterator[bytes]:
    """Yield the facts of one file as JSON; `asked` has the fields of `Examination`."""
    yield json.dumps(examine(Examination(**asked), files[0])).encode()


if __name__ == "__main__":
    faces.load()
    sys.exit(template.serve(answer))
