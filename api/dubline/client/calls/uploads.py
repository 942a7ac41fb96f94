"""Uploads: a file on this machine becomes a checked file at the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from dubline.client.calls.backoff import Looks
from dubline.client.calls.responses import Upload
from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

    from dubline.client.calls.transport import Transport

Kind = Literal["portrait", "speech"]

_PATH: Final = "/v1/uploads"
_CONTENT_TYPES: Final = {
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".mp4": "audio/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".png": "image/png",
    ".wav": "audio/wav",
    ".webp": "image/webp",
}
_UNKNOWN: Final = "application/octet-stream"


class Uploads:
    """The upload calls."""

    def __init__(self, transport: Transport, closing: Event) -> None:
        self._transport = transport
        self._closing = closing

    def get(self, upload_id: str) -> Upload:
        """Look at an upload.

        Raises:
            ClientError: there is no such upload, or no answer.
        """
        return self._transport.call(f"GET {_PATH}/{upload_id}", Upload)

    def delete(self, upload_id: str) -> str | None:
        """Remove an upload and its bytes for good.

        Returns:
            As `Transport.delete`.

        Raises:
            ClientError: there is no such upload, a job still needs it (`upload_in_use`), or no answer.
        """
        return self._transport.delete(f"{_PATH}/{upload_id}")

    def send(self, path: Path, kind: Kind) -> Upload:
        """Upload a file and wait until the server has checked it.

        Returns:
            The upload, ready or rejected.

        Raises:
            ClientError: the file cannot be read, the server does not want it, or there is no answer.
        """
        try:
            created = self._create(path, kind)
            if created.put is None:
                raise ClientError("The server did not say where to send the file.")
            self._transport.put_file(created.put.url, created.put.headers, path)
        except OSError as error:
            raise ClientError(f"Cannot read {path}: {error.strerror}.") from error
        upload = self._transport.call(f"POST {_PATH}/{created.id}/complete", Upload)
        looks = Looks(self._closing)
        while upload.state == "probing":
            looks.wait()
            upload = self.get(upload.id)
        return upload

    def _create(self, path: Path, kind: Kind) -> Upload:
        body = {"kind": kind, "content_type": content_type(path), "size_bytes": path.stat().st_size}
        return self._transport.call(f"POST {_PATH}", Upload, body=body)


def content_type(path: Path) -> str:
    """Name the media type that a file's ending promises; what it holds is found out by the server."""
    return _CONTENT_TYPES.get(path.suffix.lower(), _UNKNOWN)
