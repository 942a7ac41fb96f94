"""Fixtures: a job factory, a notifier with empty queues, and the environment of a service process."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import redis
from tests.integration.orchestration.rows import ready_upload

from dubline.options.render import RenderOptions
from dubline.orchestration.domain.jobs import NewJob
from dubline.orchestration.domain.uploads import Upload, UploadFacts, UploadKind
from dubline.orchestration.queue import Notifier, create_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.jobs import Job
    from dubline.orchestration.settings import BucketSettings, DatabaseSettings

SHA = "0" * 64
PORTRAIT = UploadFacts(
    media_type="image/png",
    size_bytes=10,
    sha256=SHA,
    width_px=640,
    height_px=480,
    face_box=(100, 80, 300, 320),
)


def speech_facts(duration_s: float) -> UploadFacts:
    return UploadFacts(media_type="audio/wav", size_bytes=10, sha256=SHA, duration_s=duration_s)


@dataclass
class JobFactory:
    """Creates uploads and jobs of one tenant through the store."""

    store: Store
    tenant: str
    portrait: Upload = field(init=False)
    speech: Upload = field(init=False)

    def __post_init__(self) -> None:
        self.store.keys.create(self.tenant)
        self.portrait = self.ready(UploadKind.PORTRAIT)
        self.speech = self.ready(UploadKind.SPEECH)

    def ready(self, kind: UploadKind, duration_s: float = 3.0) -> Upload:
        facts = PORTRAIT if kind is UploadKind.PORTRAIT else speech_facts(duration_s)
        return ready_upload(self.store, self.tenant, kind, "application/octet-stream", facts)

    def rejected(self, kind: UploadKind, code: str, detail: str) -> Upload:
        self.probing(kind)
        lease = self.store.uploads.claim("prober", 10)
        assert lease is not None
        return self.store.uploads.reject(lease, code, detail)

    def probing(self, kind: UploadKind) -> Upload:
        return self.store.uploads.mark_probing(self.tenant, self.pending(kind).id)

    def pending(self, kind: UploadKind) -> Upload:
        return self.store.uploads.insert(self.tenant, kind, "application/octet-stream", 10)

    def new(self, portrait: UUID | None = None, speech: UUID | None = None, **more: object) -> NewJob:
        chosen = {name: more.pop(name) for name in ("preset", "seed", "controls") if name in more}
        return NewJob(
            portrait_upload_id=portrait or self.portrait.id,
            speech_upload_id=speech or self.speech.id,
            options=RenderOptions(**chosen),  # type: ignore[arg-type]
            **more,  # type: ignore[arg-type]
        )

    def job(self) -> Job:
        return self.store.jobs.insert(self.tenant, self.new())


@pytest.fixture
def factory(store: Store) -> JobFactory:
    return JobFactory(store, "acme")


@pytest.fixture
def notifier(broker_url: str) -> Iterator[Notifier]:
    """A notifier whose queues are empty."""
    with redis.Redis.from_url(broker_url) as connection:
        connection.flushall()
    notifier = Notifier(create_app(broker_url))
    yield notifier
    notifier.close()


@pytest.fixture
def environment(database: DatabaseSettings, broker_url: str, bucket: BucketSettings) -> dict[str, str]:
    """Environment of a service process with short periods."""
    return {
        "PATH": os.environ["PATH"],
        "DUBLINE_DATABASE_URL": database.url.get_secret_value(),
        "DUBLINE_BROKER_URL": broker_url,
        "DUBLINE_BUCKET_NAME": "made-by-command",
        "DUBLINE_BUCKET_ENDPOINT_URL": bucket.endpoint_url,
        "DUBLINE_BUCKET_ACCESS_KEY": "test",
        "DUBLINE_BUCKET_SECRET_KEY": "test",
        "DUBLINE_MAINTENANCE_PUBLISH_S": "0.1",
        "DUBLINE_MAINTENANCE_RESCUE_S": "0.1",
    }
