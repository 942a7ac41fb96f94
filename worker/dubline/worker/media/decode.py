"""The process that decodes the files of one job, a fork of `python -m dubline.worker.media.decode SOCKET_FD`.

Started by `dubline.worker.media.decoded`.
"""

from __future__ import annotations

import sys

from dubline.worker.media import sandbox

if __name__ == "__main__":
    sandbox.limit()

import json
from typing import TYPE_CHECKING, Any, BinaryIO

from dubline.worker.media import audio, frame, image, template
from dubline.worker.media.container import BY_MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator


def answer(asked: dict[str, Any], files: list[BinaryIO]) -> Iterator[bytes]:
    """Decode the still frame, or the speech for the networks and the soundtrack.

    Args:
        asked: `what`; for the still frame `max_pixels` and `height_px`, for the speech `media_type`, `rate_hz` of the
            networks and `sound_hz` of the soundtrack.
        files: portrait and speech.

    Yields:
        The portrait's and the frame's size or the channel count as JSON, then uint8 RGB, or the name of the type, a
        space, and samples: float32 for the networks, int32 of the soundtrack.

    Raises:
        BadInputError: the subclass for the fault of the file.
    """
    portrait, speech = files
    if asked["what"] == "still":
        loaded = image.load(portrait, asked["max_pixels"])
        size = frame.size(loaded.width_px, loaded.height_px, asked["height_px"])
        yield json.dumps([loaded.width_px, loaded.height_px, *size]).encode()
        yield frame.scaled(loaded.picture, size).tobytes()
    else:
        decoding = audio.both(speech, BY_MEDIA_TYPE[asked["media_type"]], asked["rate_hz"], asked["sound_hz"])
        yield json.dumps(decoding.channels).encode()
        for part in decoding.parts:
            yield part.dtype.str.encode() + b" " + part.tobytes()


if __name__ == "__main__":
    sys.exit(template.serve(answer))
