"""Calls of API keys and usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from dubline.client.calls.paths import path_of
from dubline.client.calls.responses import Response

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dubline.client.calls.transport import Transport

_KEYS: Final = "/v1/keys"
#: Final jobs, in the largest pages.
_ENDED: Final = "/v1/jobs?limit=500&state=succeeded&state=failed&state=cancelled"


class Key(Response):
    """An API key; `secret` is set only when the key was just created."""

    id: str
    scopes: tuple[str, ...]
    created_at: str
    expires_at: str | None = None
    last_used_at: str | None = None
    secret: str | None = None


class Keys(Response):
    """The keys of a tenant."""

    data: tuple[Key, ...]


class Usage(Response):
    """Usage of one day and preset; `day` is in UTC."""

    day: str
    preset: str
    jobs: int
    succeeded: int
    failed: int
    cancelled: int
    video_s: float
    device_s: float
    size_bytes: int


class UsageList(Response):
    """Usage of a period."""

    data: tuple[Usage, ...]


class EndedJob(Response):
    """What a job took that is final."""

    created_at: str
    gpu_s: float
    preset: str


class EndedJobPage(Response):
    """One page of the final jobs of a tenant."""

    data: tuple[EndedJob, ...]
    next_cursor: str | None


class Administration:
    """Calls of API keys, which need the scope `admin`, and of usage. All raise ClientError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create_key(self, scopes: Sequence[str], expires_s: int | None) -> Key:
        """Create a key. A lost response is not asked for again, because it would create a second key."""
        body: dict[str, object] = {"expires_s": expires_s}
        if scopes:
            body["scopes"] = list(scopes)
        return self._transport.call(f"POST {_KEYS}", Key, body=body, repeatable=False)

    def list_keys(self) -> tuple[Key, ...]:
        """List the keys of the tenant."""
        return self._transport.call(f"GET {_KEYS}", Keys).data

    def rotate_key(self, key_id: str, overlap_s: int) -> Key:
        """Replace a key; both are valid for `overlap_s` seconds."""
        body = {"overlap_s": overlap_s}
        return self._transport.call(f"POST {path_of(_KEYS, key_id, 'rotate')}", Key, body=body, repeatable=False)

    def revoke_key(self, key_id: str) -> None:
        """Revoke a key."""
        self._transport.delete(path_of(_KEYS, key_id))

    def usage(self, first: str | None, last: str | None) -> tuple[Usage, ...]:
        """Return the usage between two days, as `2026-01-31`; None: the server's default."""
        given = [f"{name}={day}" for name, day in (("first", first), ("last", last)) if day]
        return self._transport.call(f"GET /v1/usage?{'&'.join(given)}", UsageList).data

    def ended_jobs(self, created_after: str | None, created_before: str | None) -> Iterator[EndedJob]:
        """Read the final jobs that were accepted between two times in ISO 8601, newest first; None: no bound."""
        given = {"created_after": created_after, "created_before": created_before, "cursor": None}
        while True:
            query = urlencode({name: value for name, value in given.items() if value})
            page = self._transport.call(f"GET {_ENDED}&{query}", EndedJobPage)
            yield from page.data
            if not page.next_cursor:
                return
            given["cursor"] = page.next_cursor
