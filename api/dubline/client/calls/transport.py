"""HTTP: calls to the API with the key and with retries; files to and from the bucket without the key."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from dubline.client.calls.backoff import TRIES, before_retry_s, rest
from dubline.client.errors import ClientError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from threading import Event

Answered = TypeVar("Answered", bound=BaseModel)

_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout)
_HINT: Final = "Start a server with `dubline up`, or set DUBLINE_URL to the address of one."
_TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
_CHUNK_BYTES: Final = 1 << 16


class Transport:
    """Speaks HTTP for the client."""

    def __init__(self, url: str, key: str, closing: Event, wire: httpx2.BaseTransport | None = None) -> None:
        """Open connections lazily.

        Args:
            url: the server's address.
            key: API key; sent to this address only.
            closing: once set, whatever waits here gives up.
            wire: carries the requests; the network if None.
        """
        self._url = url
        self._closing = closing
        self._api = httpx2.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=_TIMEOUT, transport=wire
        )
        self._bucket = httpx2.Client(timeout=_TIMEOUT, transport=wire)

    def close(self) -> None:
        """Close all connections."""
        self._api.close()
        self._bucket.close()

    def call(
        self,
        line: str,
        answer_type: type[Answered],
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> Answered:
        """Call the API.

        Args:
            line: method and path, `GET /v1/jobs/17`.
            answer_type: what the answer is read as.
            body: sent as JSON.
            headers: on top of the usual ones.
            repeatable: whether the server may safely get it twice; if not, it is sent again only if it
                certainly did not arrive.

        Raises:
            RefusedError: the server said no.
            UnreachableError: there was no answer after several tries.
            ClientError: the answer is not one that a Dubline server gives.
        """
        method, path = line.split(" ", 1)
        request = self._api.build_request(method, path, json=body, headers=headers)
        answer = self._insist(lambda: self._api.send(request), self._url, repeatable=repeatable)
        if not answer.is_success:
            raise _refusal(answer)
        try:
            return answer_type.model_validate_json(answer.content)
        except ValidationError as error:
            raise ClientError(f"{self._url} answers, but not as a Dubline server of this version.") from error

    def delete(self, path: str) -> str | None:
        """Have the API delete something.

        Returns:
            Id of the audit entry; None where an earlier try, whose answer was lost, may have deleted it.

        Raises:
            RefusedError: the server said no.
            UnreachableError: there was no answer after several tries.
        """
        request = self._api.build_request("DELETE", path)
        tries = 0

        def send() -> httpx2.Response:
            nonlocal tries
            tries += 1
            return self._api.send(request)

        answer = self._insist(send, self._url)
        if answer.status_code == HTTPStatus.NOT_FOUND and tries > 1:
            return None
        if not answer.is_success:
            raise _refusal(answer)
        return answer.headers.get("Dubline-Audit")

    def put_file(self, url: str, headers: Mapping[str, str], path: Path) -> None:
        """Send a file to the bucket.

        Raises:
            ClientError: the bucket did not take it.
        """

        def send() -> httpx2.Response:
            with path.open("rb") as file:
                return self._bucket.put(url, headers=dict(headers), content=file)

        answer = self._insist(send, "the bucket")
        if not answer.is_success:
            raise ClientError(f"The bucket did not take {path.name}: HTTP {answer.status_code}.")

    def get_file(self, url: str, path: Path) -> None:
        """Fetch a file from the bucket; it appears under its name only when it is whole.

        Raises:
            ClientError: the bucket did not give it.
        """
        with _partial(path) as part:
            answer = self._insist(lambda: self._save(url, part), "the bucket")
            if not answer.is_success:
                raise ClientError(f"The bucket did not give {path.name}: HTTP {answer.status_code}.")

    def _save(self, url: str, path: Path) -> httpx2.Response:
        with self._bucket.stream("GET", url) as answer:
            if answer.is_success:
                with path.open("wb") as file:
                    for chunk in answer.iter_bytes(_CHUNK_BYTES):
                        file.write(chunk)
            return answer

    def _insist(self, send: Callable[[], httpx2.Response], where: str, *, repeatable: bool = True) -> httpx2.Response:
        failures = 0
        while True:
            failures += 1
            try:
                answer = send()
            except httpx2.TransportError as error:
                if failures == TRIES or not (repeatable or isinstance(error, _NEVER_SENT)):
                    why = str(error) or type(error).__name__
                    raise UnreachableError(f"No answer from {where} ({why}). {_HINT}") from error
                retry_after = None
            else:
                if failures == TRIES or not _try_again(answer.status_code, repeatable=repeatable):
                    return answer
                retry_after = answer.headers.get("Retry-After")
            rest(self._closing, before_retry_s(failures, retry_after))


def _try_again(status: int, *, repeatable: bool) -> bool:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    return repeatable and status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _refusal(answer: httpx2.Response) -> RefusedError:
    try:
        problem = answer.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return RefusedError(
            answer.status_code,
            f"http_{answer.status_code}",
            f"The server answered HTTP {answer.status_code}.",
        )
    faults = [f"  {one.get('pointer')}: {one.get('detail')}" for one in problem.get("errors") or ()]
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        detail = f"{detail} The key is read from DUBLINE_API_KEY."
    return RefusedError(answer.status_code, code, detail, faults)


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
