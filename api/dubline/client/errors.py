"""Errors of the client. Each message can be shown to a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN: Final = 20


class ClientError(Exception):
    """An error; the message states the cause and what to do."""


class UnreachableError(ClientError):
    """The server did not respond."""


class StoppedError(ClientError):
    """The client was closed during a call."""


class ManifestError(ClientError):
    """The rows of a batch file are not valid."""

    def __init__(self, faults: Sequence[str]) -> None:
        more = [f"... and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        super().__init__("\n".join((*faults[:_SHOWN], *more)))


class RefusedError(ClientError):
    """The server rejected the request.

    Attributes:
        status: HTTP status.
        code: error code in snake_case.
        detail: error message of the server.
    """

    def __init__(self, status: int, code: str, detail: str, faults: Sequence[str] = ()) -> None:
        super().__init__("\n".join((f"{detail} [{code}]", *faults[:_SHOWN])))
        self.status = status
        self.code = code
        self.detail = detail
