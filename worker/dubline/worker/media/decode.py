"""The process that decodes the files of one job: `python -m dubline.worker.media.decode PORTRAIT_FD SPEECH_FD`.

Started by `dubline.worker.media.decoded`.
"""

from __future__ import annotations

import sys

from dubline.worker.media import sandbox

if __name__ == "__main__":
    sandbox.limit()

import json
from typing import TYPE_CHECKING, Any, BinaryIO

from dubline.worker.media import audio, frame, image
from dubline.worker.media.container import BY_MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator


def answer(asked: dict[str, Any], files: list[BinaryIO]) -> Iterator[bytes]:
    """Decode the still frame, the speech for the networks, or the soundtrack.

    Args:
        asked: `what`; for the still frame `max_pixels` and `height_px`, for the others `media_type` and `rate_hz`.
        files: portrait and speech.

    Yields:
        The portrait's and the frame's size or the channel count as JSON, then uint8 RGB, or chunks of float32 or int32
        samples.

    Raises:
        BadInputError: the subclass for the fault of the file.
    """
    portrait, speech = files
    if asked["what"] == "still":
        loaded = image.load(portrait, asked["max_pixels"])
        size = frame.size(loaded.width_px, loaded.height_px, asked["height_px"])
        yield json.dumps([loaded.width_px, loaded.height_px, *size]).encode()
        yield frame.scaled(loaded.picture, size).tobytes()
    elif asked["what"] == "samples":
        for second in audio.samples(speech, BY_MEDIA_TYPE[asked["media_type"]], asked["rate_hz"]):
            yield second.tobytes()
    else:
        container = BY_MEDIA_TYPE[asked["media_type"]]
        channels = audio.channel_count(speech, container)
        yield json.dumps(channels).encode()
        for part in audio.soundtrack(speech, container, channels, asked["rate_hz"]):
            yield part.tobytes()


if __name__ == "__main__":
    sys.exit(sandbox.work(answer))
