# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
"""The command grows and shrinks real worker processes: work, workers, no work, no workers, and once more."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from tests.forks import PYTHON, Forked, Forks
from tests.integration.cluster.conftest import NAMESPACE
from tests.integration.cluster.double.controller import Controller
from tests.integration.cluster.node import Node
from tests.integration.orchestration.conftest import PORTRAIT, speech_facts
from tests.integration.orchestration.rows import column
from tests.integration.waiting import wait_until

from dubline.orchestration.database.store.attempts.rescue import rescue_expired
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.events import Cursor, EventKind
from dubline.orchestration.domain.jobs import Cause, JobState, NewJob
from dubline.orchestration.domain.uploads import UploadKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from tests.integration.cluster.double.server import Double

    from dubline.orchestration.cluster.api import Cluster
    from dubline.orchestration.database.store import Store
    from dubline.orchestration.settings import BucketSettings, DatabaseSettings
    from dubline.orchestration.storage.objects import Objects

TENANT = "acme"
WITHIN_S = 120.0
COMMAND = [*PYTHON, "dubline.orchestration", "scale"]
#: The worker needs no broker: it polls.
NO_BROKER = "redis://127.0.0.1:1/0"


@pytest.fixture
def environment(
    database: DatabaseSettings, bucket: BucketSettings, server: Double | None, tmp_path: Path
) -> dict[str, str]:
    (tmp_path / "gates").mkdir()
    assert "KUBECONFIG" in os.environ, server
    return os.environ | {
        "DUBLINE_DATABASE_URL": database.url.get_secret_value(),
        "DUBLINE_BROKER_URL": NO_BROKER,
        "DUBLINE_BUCKET_NAME": bucket.name,
        "DUBLINE_BUCKET_ENDPOINT_URL": bucket.endpoint_url,
        "DUBLINE_BUCKET_ACCESS_KEY": bucket.access_key.get_secret_value(),
        "DUBLINE_BUCKET_SECRET_KEY": bucket.secret_key.get_secret_value(),
        "DUBLINE_WORKER_POLL_S": "0.2",
        "DUBLINE_SCALING_PERIOD_S": "0.3",
        "DUBLINE_SCALING_NAMESPACE": NAMESPACE,
        "GATES": str(tmp_path / "gates"),
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }


class Gates:
    """Segments that may end, and those that began."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, *numbers: int) -> None:
        for number in numbers:
            (self._folder / str(number)).touch()

    def close(self, *numbers: int) -> None:
        for number in numbers:
            (self._folder / str(number)).unlink()

    def began(self, number: int) -> int:
        """Count the attempts that began a segment, which a resumed one does not repeat."""
        return len(list(self._folder.glob(f"began-{number}-*")))


class Queue:
    """The jobs of a tenant."""

    def __init__(self, store: Store, objects: Objects, folder: Path) -> None:
        self.store = store
        store.keys.create(TENANT)
        self._ids = []
        for kind, facts in ((UploadKind.PORTRAIT, PORTRAIT), (UploadKind.SPEECH, speech_facts(1.0))):
            data = kind.encode()
            (folder / kind).write_bytes(data)
            upload = store.uploads.insert(TENANT, kind, facts.media_type, len(data))
            objects.put(folder / kind, upload.object_key, facts.media_type)
            store.uploads.mark_probing(TENANT, upload.id)
            lease = store.uploads.claim("prober", 60)
            assert lease is not None
            found: Any = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
            store.uploads.accept(lease, replace(facts, **found))
            self._ids.append(upload.id)

    def add(self, count: int) -> list[UUID]:
        new = NewJob(portrait_upload_id=self._ids[0], speech_upload_id=self._ids[1])
        return [self.store.jobs.insert(TENANT, new).id for _ in range(count)]

    def state(self, job_id: UUID) -> JobState:
        return self.store.jobs.get(TENANT, job_id).state

    def done(self, ids: list[UUID]) -> bool:
        return all(self.state(job_id) is JobState.SUCCEEDED for job_id in ids)

    def causes(self, ids: list[UUID]) -> list[Cause]:
        """Return why attempts did not succeed."""
        attempts = [one for job_id in ids for one in self.store.jobs.attempts(TENANT, job_id)]
        return [one.cause for one in attempts if one.cause is not None]

    def pod_of(self, job_id: UUID) -> str:
        (worker,) = column(self.store, "SELECT lease_worker FROM jobs WHERE id = :id", id=job_id)
        return str(worker).partition(":")[0]

    def rescue(self, pod: str) -> int:
        """Let the leases of a lost pod expire, and no other."""
        expired = text("UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE lease_worker LIKE :pod || ':%'")
        with transaction(self.store._engine) as session:
            session.execute(expired, {"pod": pod})
            rescued = rescue_expired(session)
            session.execute(text("UPDATE jobs SET available_at = now() WHERE state = 'retrying'"))
        return rescued


@contextmanager
def scaling(forks: Forks, environment: dict[str, str], log: Path) -> Iterator[Forked]:
    """Run the command; at the end it must exit with 0, soon after a SIGTERM."""
    with log.open("wb") as file:
        process = forks.start(COMMAND, environment, file)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_workers_follow_the_work_and_no_job_begins_twice(
    store: Store,
    objects: Objects,
    cluster: Cluster,
    server: Double | None,
    deploy: Callable[..., str],
    forks: Forks,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    name = deploy()
    pool = {"name": "gpu", "deployment": name, "presets": ["base"], "ceiling": 2, "basis": "depth"}
    pool |= {"jobs_per_worker": 1, "cold_start_s": 0, "start_limit_s": WITHIN_S}
    environment["DUBLINE_SCALING_POOLS"] = json.dumps([pool])
    gates, queue, log = Gates(tmp_path / "gates"), Queue(store, objects, tmp_path), tmp_path / "scaler.log"
    node = Node(cluster, cluster.deployment(name).selector, server, forks, tmp_path, environment)
    with ExitStack() as stack:
        if server is not None:
            stack.enter_context(Controller(server.objects).running())
        stack.enter_context(node.running())
        stack.enter_context(scaling(forks, environment, log))

        # Work for three: two workers, which is the ceiling. Then none.
        first = queue.add(3)
        wait_until(lambda: gates.began(0) == 2, WITHIN_S)
        assert len(node.names) == 2
        gates.open(0, 1, 2)
        wait_until(lambda: queue.done(first), WITHIN_S)
        wait_until(lambda: not node.names and cluster.deployment(name).replicas == 0, WITHIN_S)
        assert set(node.exits.values()) == {0}

        # Up again. One worker is lost in its second segment; another one resumes its job there.
        gates.close(1, 2)
        second = queue.add(2)
        wait_until(lambda: gates.began(1) == 5, WITHIN_S)
        lost, kept = (queue.pod_of(job_id) for job_id in second)
        node.lose(lost)
        assert queue.rescue(lost) == 1
        wait_until(lambda: gates.began(1) == 6, WITHIN_S)
        # One job ends: its worker is idle and leaves, and the busy one stays.
        replacing = queue.pod_of(second[0])
        store.jobs.cancel(TENANT, second[1])
        wait_until(lambda: node.names == [replacing], WITHIN_S)
        assert node.exits[kept] == 0
        assert queue.state(second[0]) is JobState.RUNNING
        gates.open(1, 2)
        wait_until(lambda: queue.state(second[0]) is JobState.SUCCEEDED, WITHIN_S)
        wait_until(lambda: not node.names, WITHIN_S)
    # No job restarted from zero, and only the loss of a worker is charged. A worker that is asked to leave when it is
    # idle may claim the third job before the signal arrives: it releases the job, which is not charged.
    assert [gates.began(number) for number in range(3)] == [5, 6, 4]
    assert {*queue.causes(first)} <= {Cause.SHUTDOWN}
    assert queue.causes(second) == [Cause.WORKER_LOST, Cause.CANCELLED]
    decided = [one.payload for one in store.events.after(Cursor(), {EventKind.POOL_DECIDED}, limit=10_000)]
    counts = [one["workers"] for one in decided if one["workers"] != one["requested"]]
    assert (counts[0], max(counts), counts[-1]) == (2, 2, 0)
    assert "pool_decided" in log.read_text()
