"""What can go wrong between a person and the service; each message is one that can be shown as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN: Final = 20


class ClientError(Exception):
    """Something went wrong; the message says what, and what to do."""


class UnreachableError(ClientError):
    """No answer from the server."""


class StoppedError(ClientError):
    """The client was closed while it worked."""


class ManifestError(ClientError):
    """The rows of a batch file do not make sense."""

    def __init__(self, faults: Sequence[str]) -> None:
        more = [f"... and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        super().__init__("\n".join((*faults[:_SHOWN], *more)))


class RefusedError(ClientError):
    """The server understood and said no.

    Attributes:
        status: HTTP status.
        code: the stable snake_case code.
        detail: the server's sentence.
    """

    def __init__(self, status: int, code: str, detail: str, faults: Sequence[str] = ()) -> None:
        super().__init__("\n".join((f"{detail} [{code}]", *faults[:_SHOWN])))
        self.status = status
        self.code = code
        self.detail = detail
