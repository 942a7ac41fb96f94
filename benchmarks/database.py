"""A database for benchmarks: its start, and uploads that count as checked without a prober."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dubline.embedded.stack import Stack
from dubline.orchestration.domain.jobs import NewJob
from dubline.orchestration.domain.uploads import UploadFacts, UploadKind

if TYPE_CHECKING:
    from contextlib import ExitStack
    from uuid import UUID

    from dubline.orchestration.database.store import Store

LEASE_S: Final = 600.0
_SHA256: Final = "0" * 64
FACTS: Final = {
    UploadKind.PORTRAIT: UploadFacts(
        media_type="image/png", size_bytes=1, sha256=_SHA256, width_px=640, height_px=480, face_box=(1, 1, 9, 9)
    ),
    UploadKind.SPEECH: UploadFacts(media_type="audio/wav", size_bytes=1, sha256=_SHA256, duration_s=5.0),
}


def start_database(opened: ExitStack) -> str:
    """Start a PostgreSQL; return its SQLAlchemy URL."""
    stack = Stack()
    opened.callback(stack.stop)
    stack.start(only=("initdb", "database"))
    return stack.environ["DUBLINE_DATABASE_URL"]


def driver_url(url: str) -> str:
    """Convert a SQLAlchemy URL to one of the driver."""
    return url.replace("+psycopg", "")


def new_job(store: Store, tenant: str, custom_id: str | None = None) -> NewJob:
    """Insert two checked uploads, without files; return a job that names them, not inserted."""
    portrait, speech = (_checked(store, tenant, kind) for kind in (UploadKind.PORTRAIT, UploadKind.SPEECH))
    return NewJob(portrait_upload_id=portrait, speech_upload_id=speech, custom_id=custom_id)


def _checked(store: Store, tenant: str, kind: UploadKind) -> UUID:
    upload = store.uploads.insert(tenant, kind, "application/octet-stream", 1)
    store.uploads.mark_probing(tenant, upload.id)
    lease = store.uploads.claim("prober", LEASE_S)
    if lease is None:
        raise SystemExit("the database is not empty: choose another")
    return store.uploads.accept(lease, FACTS[kind]).id
