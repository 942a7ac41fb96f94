# ruff: noqa: PLR0913, PLR0917 - a fixture takes the fixtures it needs
"""Fixtures: uploads and jobs in a real database and bucket, and executors that process them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest
import skimage.data
import torch
from PIL import Image
from sqlalchemy import text
from tests.unit.worker import media_files as media
from tests.unit.worker import stub_networks
from tests.unit.worker.conftest import _memory_is_kept

from dubline.orchestration.database.store.attempts.rescue import rescue_expired
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.uploads import Upload, UploadFacts, UploadKind
from dubline.orchestration.settings import LimitSettings
from dubline.worker.executors import probe_failures
from dubline.worker.executors.health import Health
from dubline.worker.executors.probe import ProbeExecutor
from dubline.worker.executors.probe_failures import ProbeFailures
from dubline.worker.executors.render import RenderExecutor
from dubline.worker.rendering import motion, self_test
from dubline.worker.rendering.pipeline import Renderer
from dubline.worker.runtime.liveness import LivenessFile
from dubline.worker.runtime.shutdown import Shutdown
from dubline.worker.settings import LeaseSettings

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.storage.objects import Objects

__all__ = ["_memory_is_kept"]

TENANT = "acme"
Send = Callable[[UploadKind, bytes, str], Upload]


def expire(store: Store) -> int:
    """Let every lease expire and rescue the jobs, due at once; return how many were rescued."""
    # In one transaction, so that no heartbeat renews an expired lease before the rescue.
    with transaction(store._engine) as session:
        session.execute(text("UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE state = 'running'"))
        rescued = rescue_expired(session)
        session.execute(text("UPDATE jobs SET available_at = now() WHERE state = 'retrying'"))
    return rescued


def child_of(store: Store, tenant: str, job_id: UUID) -> int:
    """Return the process id of the child that has the latest attempt."""
    return int(store.jobs.attempts(tenant, job_id)[-1].worker.rpartition("/")[2])


@pytest.fixture
def tenant(store: Store) -> str:
    store.keys.create(TENANT)
    return TENANT


@pytest.fixture
def send(store: Store, objects: Objects, tenant: str, tmp_path: Path) -> Send:
    """Upload a file as a sender does through the API: declare it, store it, complete it."""

    def send(kind: UploadKind, data: bytes, content_type: str) -> Upload:
        upload = store.uploads.insert(tenant, kind, content_type, len(data))
        path = tmp_path / "sent"
        path.write_bytes(data)
        objects.put(path, upload.object_key, content_type)
        return store.uploads.mark_probing(tenant, upload.id)

    return send


@pytest.fixture(scope="session")
def portrait_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("portrait") / "astronaut.jpg"
    Image.fromarray(skimage.data.astronaut()).save(path, quality=92)
    return path.read_bytes()


@pytest.fixture(scope="session")
def speech_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return media.wav(tmp_path_factory.mktemp("speech") / "a.wav", media.tone(1.3)).read_bytes()


@pytest.fixture
def scratch_folder(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


@pytest.fixture
def leases() -> LeaseSettings:
    return LeaseSettings.model_validate({"duration_s": 20, "heartbeat_s": 0.05})


@pytest.fixture
def prober(store: Store, objects: Objects, leases: LeaseSettings, scratch_folder: Path) -> ProbeExecutor:
    health = Health(
        counts=ProbeFailures(doubtful=False),
        worker="prober",
        self_test=probe_failures.self_test,
        isolated=True,
        folder=scratch_folder,
        leases=leases,
        liveness=LivenessFile(None),
    )
    return ProbeExecutor(
        health=health,
        store=store,
        objects=objects,
        leases=leases,
        limits=LimitSettings(),
        folder=scratch_folder,
        worker="prober",
        shutdown=Shutdown(),
        liveness=LivenessFile(None),
    )


@pytest.fixture
def renderer(monkeypatch: pytest.MonkeyPatch) -> Renderer:
    """The real pipeline with stub networks."""
    monkeypatch.setattr(motion, "sample_motion", stub_networks.sample_motion)
    torch.set_num_threads(1)
    return Renderer(stub_networks.StubModels())


@pytest.fixture
def health(store: Store, leases: LeaseSettings, scratch_folder: Path, renderer: Renderer) -> Health:
    return Health(
        counts=store.workers,
        worker="worker",
        self_test=partial(self_test.run, renderer, "base"),
        folder=scratch_folder,
        leases=leases,
        liveness=LivenessFile(None),
    )


@pytest.fixture
def worker(
    store: Store, objects: Objects, leases: LeaseSettings, scratch_folder: Path, renderer: Renderer, health: Health
) -> RenderExecutor:
    return RenderExecutor(
        health=health,
        store=store,
        objects=objects,
        renderer=renderer,
        leases=leases,
        folder=scratch_folder,
        worker="worker",
        shutdown=Shutdown(),
        liveness=LivenessFile(None),
    )


@pytest.fixture(scope="session")
def facts() -> dict[bytes, UploadFacts]:
    """The facts of each file, kept from its first probe: a probe starts a process."""
    return {}


@pytest.fixture
def ready(
    send: Send,
    store: Store,
    prober: ProbeExecutor,
    portrait_bytes: bytes,
    speech_bytes: bytes,
    facts: dict[bytes, UploadFacts],
) -> tuple[UUID, UUID]:
    """Ids of a probed portrait and a probed speech track."""
    files = {UploadKind.PORTRAIT: (portrait_bytes, "image/jpeg"), UploadKind.SPEECH: (speech_bytes, "audio/wav")}
    ids = []
    for kind, (data, content_type) in files.items():
        upload = send(kind, data, content_type)
        ids.append(upload.id)
        if data in facts:
            lease = store.uploads.claim("prober", 20)
            assert lease is not None
            store.uploads.accept(lease, facts[data])
        else:
            assert prober.run_next()
            found = store.uploads.get(upload.tenant, upload.id).facts
            assert found is not None
            facts[data] = found
    return ids[0], ids[1]
