"""HTTP requests with retries: to the API with the key, to the bucket without it."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from dubline.client.calls import proxies
from dubline.client.calls.backoff import MAX_TRIES, retry_delay_s, wait
from dubline.client.calls.responses import Problem
from dubline.client.errors import ClientError, RefusedError, StoppedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from ssl import SSLContext
    from threading import Event

    from dubline.client.calls.outage import Outage

Model = TypeVar("Model", bound=BaseModel)

_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout)
_HINT: Final = "Start a server with `dubline up`, or set DUBLINE_URL to the URL of a server."
#: Requests that were not sent, because of a URL or headers that HTTP does not allow.
_NOT_HTTP: Final = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.InvalidURL)
#: Statuses of a server, or of a proxy before it, that is unavailable for some time.
_OUTAGE: Final = frozenset({429, 502, 503, 504})
#: Short interruptions are not told.
_TRIES_BEFORE_TELLING: Final = 4
CHANGED: Final = "The file {} has changed while it was sent. Run the command again."
_TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
_CHUNK_BYTES: Final = 1 << 16
#: A URL of the bucket that is refused within this time has not expired.
URL_FRESH_S: Final = 60.0
#: Code of a path that the API does not have. Servers of earlier versions send that of an unknown id.
_NO_SUCH_PATH: Final = "no_such_path"


class Transport:
    """Sends the client's HTTP requests."""

    def __init__(self, url: str, key: str, closing: Event, transport: httpx2.BaseTransport | None = None) -> None:
        """Create the HTTP clients; connections are opened lazily.

        Args:
            url: base URL of the server.
            key: API key; sent to the server only.
            closing: when set, waiting calls raise StoppedError.
            transport: transport of httpx2; the network if None.

        Raises:
            ClientError: proxies or certificates that the environment names cannot be used.
            httpx2.InvalidURL: the URL is not valid.
        """
        self.outage: Outage | None = None
        self._url = url
        self._closing = closing
        self._has_answered = False
        address = httpx2.URL(url)
        options: dict[str, Any] = {"timeout": _TIMEOUT, "transport": transport, "mounts": proxies.direct(url)}
        # One for both: it contains all certificates of the authorities, which take long to read. Another transport has
        # no use for them.
        options["verify"] = _certificates() if transport is None else False
        options["trust_env"] = transport is not None or proxies.are_usable(url)
        self._api = httpx2.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, **options)
        self._bucket = httpx2.Client(**options)

    def close(self) -> None:
        """Close all connections."""
        self._api.close()
        self._bucket.close()

    def call(
        self,
        line: str,
        response_type: type[Model],
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> Model:
        """Call the API.

        Args:
            line: method and path, such as `GET /v1/jobs/17`.
            response_type: type of the response body.
            body: request body, sent as JSON.
            headers: additional headers.
            repeatable: whether the call is idempotent; if not, it is retried only if it was certainly not received.

        Raises:
            RefusedError: the server rejected the request.
            UnreachableError: the server did not respond after several tries.
            ClientError: the response is not valid, or the path of the server's URL is wrong.
        """
        method, path = line.split(" ", 1)
        request = self._api.build_request(method, path, json=body, headers=headers)
        response = self._send_with_retries(lambda: self._api.send(request), self._url, repeatable=repeatable)
        if not response.is_success:
            raise self._error_of(response)
        try:
            return response_type.model_validate_json(response.content)
        except ValidationError as error:
            raise ClientError(
                f"The response of {self._url} is not that of a Dubline server. Check DUBLINE_URL."
            ) from error

    def delete(self, path: str) -> str | None:
        """Delete a resource.

        Returns:
            The id of the audit entry; None if an earlier try, whose response was lost, may have deleted it.

        Raises:
            RefusedError: the server rejected the request.
            UnreachableError: the server did not respond after several tries.
        """
        request = self._api.build_request("DELETE", path)
        tries = 0

        def send() -> httpx2.Response:
            nonlocal tries
            tries += 1
            return self._api.send(request)

        response = self._send_with_retries(send, self._url)
        if response.status_code == HTTPStatus.NOT_FOUND and tries > 1:
            return None
        if not response.is_success:
            raise self._error_of(response)
        return response.headers.get("Dubline-Audit")

    def put_file(self, url: str, headers: Mapping[str, str], path: Path) -> int:
        """Send a file to the bucket; return the HTTP status.

        Raises:
            ClientError: the bucket did not respond, or the file has another length than it was declared with, before
                or while it is sent.
            OSError: the file cannot be read.
        """

        def send() -> httpx2.Response:
            with path.open("rb") as file:
                length = os.fstat(file.fileno()).st_size
                given = {"Content-Length": str(length)} | dict(headers)
                if given["Content-Length"] != str(length):
                    raise ClientError(CHANGED.format(path))
                return self._bucket.put(url, headers=given, content=self._chunks(file, length, path))

        return self._send_with_retries(send, "the bucket").status_code

    def get_file(self, url: str, file: BinaryIO) -> int:
        """Download from the bucket what a file lacks at its end.

        Args:
            url: URL of the whole content.
            file: opened for appending; it is emptied if it is longer than the content.

        Returns:
            The HTTP status; with one from 400 nothing was written.

        Raises:
            ClientError: the bucket did not respond.
            OSError: the file cannot be written.
        """
        return self._send_with_retries(lambda: self._save(url, file), "the bucket").status_code

    def _save(self, url: str, file: BinaryIO) -> httpx2.Response:
        start = file.seek(0, os.SEEK_END)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with self._bucket.stream("GET", url, headers=headers) as response:
            if response.is_success:
                if response.status_code != HTTPStatus.PARTIAL_CONTENT:
                    file.truncate(0)
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    self._check_open()
                    file.write(chunk)
        if start and response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            file.truncate(0)
            return self._save(url, file)
        return response

    def _chunks(self, file: BinaryIO, length: int, path: Path) -> Iterator[bytes]:
        while length >= 0 and (chunk := file.read(_CHUNK_BYTES)):
            self._check_open()
            length -= len(chunk)
            if length >= 0:
                yield chunk
        if length:
            raise ClientError(CHANGED.format(path))

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise StoppedError("Stopped.")

    def _error_of(self, response: httpx2.Response) -> ClientError:
        """Return the error of a response that is no success."""
        refused, path = _refused(response), self._api.base_url.path.rstrip("/")
        if refused.code == _NO_SUCH_PATH and path:
            return ClientError(
                f"The server has no API below the path {path} of DUBLINE_URL. Remove or correct the path."
            )
        return refused

    def _send_with_retries(
        self, send: Callable[[], httpx2.Response], server: str, *, repeatable: bool = True
    ) -> httpx2.Response:
        failures = 0
        while True:
            failures += 1
            try:
                response = send()
            except _NOT_HTTP as error:
                # Without the error's text, which may contain headers.
                raise ClientError(f"The request to {server} is not valid HTTP ({type(error).__name__}).") from None
            except httpx2.DecodingError as error:
                raise ClientError(
                    f"The response of {_via(server)} is compressed and cannot be unpacked ({error}). "
                    "Check DUBLINE_URL and the proxies on the way."
                ) from error
            except httpx2.TransportError as error:
                reason = f"No response from {_via(server)} ({str(error) or type(error).__name__})"
                tried = failures >= MAX_TRIES and not self._endures
                if tried or not (repeatable or isinstance(error, _NEVER_SENT)):
                    raise UnreachableError(f"{reason}. {_HINT}") from error
                retry_after = None
            else:
                status = response.status_code
                if self.outage and (detail := _full(response)):
                    wait(self._closing, self.outage.full_s(failures, detail))
                    continue
                reason = f"HTTP {status} from {_via(server)}"
                tried = failures >= MAX_TRIES and not (self._endures and status in _OUTAGE)
                if tried or not _is_retryable(status, repeatable=repeatable):
                    self._answered(status)
                    return response
                retry_after = response.headers.get("Retry-After")
            self._pause(failures, reason, retry_after)

    @property
    def _endures(self) -> bool:
        """Whether to wait for the server: it has responded before, so its address and the key are right."""
        return self.outage is not None and self._has_answered

    def _answered(self, status: int) -> None:
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            self._has_answered = True
            if self.outage:
                self.outage.ended()

    def _pause(self, failures: int, reason: str, retry_after: str | None) -> None:
        delay_s = retry_delay_s(failures, retry_after)
        if self.outage and self._endures and failures >= _TRIES_BEFORE_TELLING:
            delay_s = max(delay_s, self.outage.pause_s(failures - _TRIES_BEFORE_TELLING + 1, reason))
        wait(self._closing, delay_s)


def _certificates() -> SSLContext:
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        files = " and ".join(name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name))
        advice = f"Correct or remove {files}." if files else "Install the certificates of the authorities."
        raise ClientError(f"The certificates of TLS cannot be read: {error.strerror or error}. {advice}") from error


def _is_retryable(status: int, *, repeatable: bool) -> bool:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    return repeatable and status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _full(response: httpx2.Response) -> str:
    """Return the detail of a refusal because of a quota in which there will be room; empty if it is none."""
    if response.status_code != HTTPStatus.CONFLICT or "Retry-After" not in response.headers:
        return ""
    refused = _refused(response)
    return refused.detail if refused.code == "quota_exceeded" else ""


def _via(server: str) -> str:
    """Name a server, with the proxy on the way to it."""
    proxy = proxies.proxy_of(server) if "://" in server else None
    return f"{server} through the proxy {proxy} (see HTTP_PROXY and NO_PROXY)" if proxy else server


def _refused(response: httpx2.Response) -> RefusedError:
    status = response.status_code
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        server = _via(str(response.request.url))
        detail = f"HTTP {status} from {server}, not in the form of a Dubline server. Check DUBLINE_URL."
        return RefusedError(status, f"http_{status}", detail)
    detail = problem.detail
    faults = [f"{one.pointer}: {one.detail}" for one in problem.errors or ()]
    # The sentence of a single fault is that of the error.
    faults = [] if faults == [detail] else [f"  {fault}" for fault in faults]
    if status == HTTPStatus.UNAUTHORIZED:
        detail = f"{detail} The key is read from DUBLINE_API_KEY."
    return RefusedError(status, problem.code, detail, faults)
