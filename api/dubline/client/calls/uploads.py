"""Calls of uploads: send a local file to the server and wait for its probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from dubline.client.calls.backoff import PollBackoff
from dubline.client.calls.responses import Upload
from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

    from dubline.client.calls.transport import Transport

Kind = Literal["portrait", "speech"]

_PATH: Final = "/v1/uploads"
#: The server finds the type in the bytes. An extension says too little: many files have that of another type.
_UNKNOWN_TYPE: Final = "application/octet-stream"


class Uploads:
    """Calls of uploads."""

    def __init__(self, transport: Transport, closing: Event) -> None:
        self._transport = transport
        self._closing = closing

    def get(self, upload_id: str) -> Upload:
        """Get an upload.

        Raises:
            ClientError: the upload does not exist, or the server did not respond.
        """
        return self._transport.call(f"GET {_PATH}/{upload_id}", Upload)

    def delete(self, upload_id: str) -> str | None:
        """Delete an upload and its file.

        Returns:
            The id of the audit entry; None if an earlier try, whose response was lost, may have deleted it.

        Raises:
            ClientError: the upload does not exist, a job uses it (`upload_in_use`), or the server did not respond.
        """
        return self._transport.delete(f"{_PATH}/{upload_id}")

    def send(self, path: Path, kind: Kind) -> Upload:
        """Upload a file and wait until the server has checked it.

        Returns:
            The upload, ready or rejected.

        Raises:
            ClientError: the file cannot be read, the server rejected it, or the server did not respond.
        """
        try:
            created = self._create(path, kind)
            if created.put is None:
                raise ClientError("The response of the server contains no URL for the file.")
            self._transport.put_file(created.put.url, created.put.headers, path)
        except OSError as error:
            raise ClientError(f"Cannot read {path}: {error.strerror}.") from error
        upload = self._transport.call(f"POST {_PATH}/{created.id}/complete", Upload)
        backoff = PollBackoff(self._closing)
        while upload.state == "probing":
            backoff.wait()
            upload = self.get(upload.id)
        return upload

    def _create(self, path: Path, kind: Kind) -> Upload:
        body = {"kind": kind, "content_type": _UNKNOWN_TYPE, "size_bytes": path.stat().st_size}
        return self._transport.call(f"POST {_PATH}", Upload, body=body)
