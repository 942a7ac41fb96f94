"""Calls of uploads: send a local file to the server and wait for its probe."""

from __future__ import annotations

import hashlib
import time
import uuid
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal

from dubline.client.calls.backoff import PollBackoff
from dubline.client.calls.hashes import file_sha256
from dubline.client.calls.paths import path_of
from dubline.client.calls.responses import Upload
from dubline.client.calls.transport import CHANGED, URL_FRESH_S
from dubline.client.errors import ClientError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from threading import Event

    from dubline.client.calls.consent import Consent
    from dubline.client.calls.transport import Transport

Kind = Literal["portrait", "speech"]

_PATH: Final = "/v1/uploads"
_KEY: Final = "Idempotency-Key"
_PENDING: Final = "pending"
_PROBING: Final = "probing"
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
        return self._transport.call(f"GET {path_of(_PATH, upload_id)}", Upload)

    def delete(self, upload_id: str) -> str | None:
        """Delete an upload and its file.

        Returns:
            The id of the audit entry; None if an earlier try, whose response was lost, may have deleted it.

        Raises:
            ClientError: the upload does not exist, a job uses it (`upload_in_use`), or the server did not respond.
        """
        return self._transport.delete(path_of(_PATH, upload_id))

    def send(self, path: Path, kind: Kind, sha256: str | None = None, consent: Consent | None = None) -> Upload:
        """Upload a file, unless the server still has it, and wait until the server has checked it.

        Args:
            path: the file.
            kind: its role.
            sha256: SHA-256 of the file; None: it is computed.
            consent: of the person in a portrait; None: not stated.

        Returns:
            The upload, ready or rejected.

        Raises:
            ClientError: the file cannot be read, the server rejected it, or the server did not respond.
        """
        try:
            content = sha256 or file_sha256(path)
            for key in (None, str(uuid.uuid4())):
                upload = self._sent(partial(self._declare, path, kind, content, consent, key), path)
                if _may_have(upload, content):
                    return upload
                # Otherwise an earlier run has begun to send it, and the file was another one then.
                if file_sha256(path) != content:
                    break
        except OSError as error:
            raise ClientError(f"Cannot read {path}: {error.strerror}.") from error
        raise ClientError(CHANGED.format(path))

    def _sent(self, declare: Callable[[], Upload], path: Path) -> Upload:
        """Declare a file, send it unless the server still has it, and wait until the server has checked it."""
        upload = declare()
        if upload.state == _PENDING:
            if not self._put(upload, path):
                # Once more: the URL expired during an outage.
                upload = declare()
                self._put(upload, path, last=True)
            upload = self._transport.call(f"POST {_PATH}/{upload.id}/complete", Upload)
        backoff = PollBackoff(self._closing)
        while upload.state == _PROBING:
            backoff.wait()
            upload = self.get(upload.id)
        return upload

    def _put(self, upload: Upload, path: Path, *, last: bool = False) -> bool:
        """Send a file to the bucket; return False if it is to be tried again."""
        if upload.put is None:
            raise ClientError("The response of the server contains no URL for the file.")
        began_s = time.monotonic()
        status = self._transport.put_file(upload.put.url, upload.put.headers, path)
        # 412: the file is there already, from an earlier try whose response was lost.
        if status < HTTPStatus.BAD_REQUEST or status == HTTPStatus.PRECONDITION_FAILED:
            return True
        if status == HTTPStatus.FORBIDDEN and not last and time.monotonic() - began_s > URL_FRESH_S:
            return False
        raise ClientError(f"The bucket rejected {path.name}: HTTP {status}.")

    def _declare(self, path: Path, kind: Kind, sha256: str, consent: Consent | None, other_key: str | None) -> Upload:
        """Return the upload of this content, which may be an earlier one unless another key is given."""
        body: dict[str, object] = {
            "kind": kind,
            "content_type": _UNKNOWN_TYPE,
            "size_bytes": path.stat().st_size,
        }
        # The key follows from the content, so that no file is sent twice, by whichever run.
        key = f"dubline-{kind}-{sha256}"
        if consent is not None:
            body["consent"] = consent.model_dump(mode="json")
            key += f"-{hashlib.sha256(consent.model_dump_json().encode()).hexdigest()}"
        upload = self._create(body, other_key or key)
        if upload and (upload.state in {_PENDING, _PROBING} or _may_have(upload, sha256)):
            return upload
        # Rejected before, perhaps by an older server; or the earlier file changed while it was sent.
        return self._transport.call(f"POST {_PATH}", Upload, body=body, headers={_KEY: str(uuid.uuid4())})

    def _create(self, body: Mapping[str, object], key: str) -> Upload | None:
        try:
            upload = self._transport.call(f"POST {_PATH}", Upload, body=body, headers={_KEY: key})
        except RefusedError as error:
            if error.code != "idempotency_key_reused":
                raise
            return None
        return None if upload.state == "rejected" else upload


def _may_have(upload: Upload, sha256: str) -> bool:
    """Tell whether an upload may have a content: it has, is rejected, or is of a server that does not tell."""
    return bool((upload.facts or {}).get("sha256", sha256) == sha256)
