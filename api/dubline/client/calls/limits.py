"""The limits of a server, checked before anything is sent."""

from __future__ import annotations

from dubline.client.calls.responses import Response


class Held(Response):
    """What the tenant holds."""

    jobs: int = 0


class Limits(Response):
    """What a server accepts at most."""

    batch_rows: int
    consent_required: bool = False
    portrait_bytes: int
    speech_bytes: int
    queued_jobs: int | None = None
    """Jobs that are not final; None: not limited."""
    held: Held = Held()

    def bytes_of(self, kind: str) -> int:
        """Return the largest size of a file: `portrait` or `speech`."""
        return self.portrait_bytes if kind == "portrait" else self.speech_bytes
