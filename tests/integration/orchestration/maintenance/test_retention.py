from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from tests.integration.orchestration.rows import pass_time

from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.batches import Retention
from dubline.orchestration.domain.errors import NotFoundError
from dubline.orchestration.domain.events import Cursor, EventKind
from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.maintenance import cleaner, retention

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.storage.objects import Objects


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


def finished(store: Store, factory: JobFactory, objects: Objects, file: Path) -> tuple[UUID, str]:
    """Finish a job; return its id and the key of its video."""
    job = factory.job()
    lease = store.leases.claim("worker", 10)
    assert lease is not None
    objects.put(file, lease.result_key, "video/mp4")
    store.leases.finish(lease, 10, 1.0)
    return job.id, lease.result_key


def test_expired_files_are_removed_and_audited(store: Store, factory: JobFactory, objects: Objects, file: Path) -> None:
    for upload in (factory.portrait, factory.speech):
        objects.put(file, upload.object_key, "image/png")
    job_id, key = finished(store, factory, objects, file)
    store.tenants.set_retention("acme", Retention(inputs_s=60, results_s=60))
    assert retention.expire(store) == 0
    pass_time(store, 120)
    young = factory.ready(UploadKind.PORTRAIT)
    assert retention.expire(store) == 3
    assert retention.expire(store) == 0
    assert cleaner.clean(store, objects) == 3
    assert not [one for one in (key, factory.portrait.object_key) if objects.size_bytes(one) is not None]
    job = store.jobs.get("acme", job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.result_deleted_at is not None
    with pytest.raises(NotFoundError):
        store.uploads.get("acme", factory.speech.id)
    assert store.uploads.get("acme", young.id)
    for subject in (job_id, factory.portrait.id, factory.speech.id):
        (entry,) = store.deletions.audit("acme", subject)
        assert (entry.actor, entry.objects) == ("retention", 1)
        assert entry.completed_at is not None
    assert not store.deletions.audit("acme", young.id)


def test_a_tenant_without_retention_keeps_everything(
    store: Store, factory: JobFactory, objects: Objects, file: Path
) -> None:
    _, key = finished(store, factory, objects, file)
    assert retention.expire(store) == 0
    assert cleaner.clean(store, objects) == 0
    assert objects.size_bytes(key) == 10


def test_old_events_are_pruned(store: Store, factory: JobFactory) -> None:
    store.jobs.cancel("acme", factory.job().id)
    retention.expire(store)
    assert len(store.events.after(Cursor(), list(EventKind))) == 1
    with transaction(store._engine) as session:
        session.execute(text("UPDATE events SET created_at = created_at - interval '8 days'"))
    assert retention.expire(store) == 0
    assert store.events.after(Cursor(), list(EventKind)) == ()
