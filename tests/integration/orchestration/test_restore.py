"""A copy by pg_dump is restored into a new database, whose server counts transactions anew."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from tests.integration.orchestration.rows import change, column, pass_time
from tests.integration.postgres import program

from dubline.orchestration.__main__ import _execute, _parser
from dubline.orchestration.database.store import Store
from dubline.orchestration.domain.errors import LeaseLostError
from dubline.orchestration.domain.events import Cursor, EventKind
from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.domain.leases import Lease
    from dubline.orchestration.settings import BucketSettings, DatabaseSettings

#: A transaction id that the test's server does not reach.
FAR = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What was dumped."""

    lost: UUID
    """A finished job whose video is not in the bucket."""
    running: Lease
    """Of a job that is rendered meanwhile."""
    batch: UUID
    """With one queued job."""


def claim(store: Store) -> Lease:
    lease = store.leases.claim("worker-1", 60)
    assert lease is not None
    return lease


@pytest.fixture
def objects(environment: dict[str, str], bucket: BucketSettings) -> Objects:
    """A new, empty bucket."""
    environment["DUBLINE_BUCKET_NAME"] = name = f"restored-{uuid4()}"
    objects = Objects(bucket.model_copy(update={"name": name}))
    objects.create_bucket()
    return objects


@pytest.fixture
def before(store: Store, factory: JobFactory, objects: Objects, tmp_path: Path) -> Before:
    """Jobs and a batch of an installation that has run many transactions, and the objects of all but two rows."""
    (tmp_path / "file").write_bytes(b"0123456789")
    finished, lost, running = (factory.job() for _ in range(3))
    for job in (finished, lost):
        lease = claim(store)
        assert lease.job_id == job.id
        store.leases.finish(lease, 10, 1.0)
        if job is finished:
            objects.put(tmp_path / "file", lease.result_key, "video/mp4")
    objects.put(tmp_path / "file", factory.portrait.object_key, "image/png")
    lease = claim(store)
    assert lease.job_id == running.id
    batch, _ = store.batches.insert("acme", [factory.new()], None, "")
    for statement in ("UPDATE jobs SET changed_xid = :xid", "UPDATE events SET transaction_id = :xid"):
        change(store, statement.replace(":xid", f"'{FAR}'"))
    return Before(lost=lost.id, running=lease, batch=batch.id)


@pytest.fixture
def copy(before: Before, database: DatabaseSettings, environment: dict[str, str], tmp_path: Path) -> Iterator[Store]:
    """The database, dumped and restored under another name."""
    assert before.lost
    url = database.url.get_secret_value().replace("+psycopg", "")
    server = url.rpartition("/")[0]
    name = f"restored_{uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
    dump = str(tmp_path / "dump")
    subprocess.run([program("pg_dump"), "--format=custom", f"--file={dump}", url], check=True)
    target = f"--dbname={server}/{name}"
    subprocess.run([program("pg_restore"), "--no-owner", "--exit-on-error", target, dump], check=True)
    environment["DUBLINE_DATABASE_URL"] = f"{server}/{name}".replace("postgresql:", "postgresql+psycopg:")
    try:
        settings = database.model_validate({"url": environment["DUBLINE_DATABASE_URL"]})
        with Store.connect(settings) as restored:
            yield restored
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[call-overload]


@pytest.fixture
def run_restored(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[], list[str]]:
    """Run the command, which finds missing objects, and return what it prints."""

    def run() -> list[str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert _execute(_parser().parse_args(["restored"])) == 1
        return capsys.readouterr().out.splitlines()

    return run


def test_a_restored_copy_goes_on_with_its_jobs(
    copy: Store, before: Before, factory: JobFactory, run_restored: Callable[[], list[str]]
) -> None:
    assert copy.events.after(Cursor(), list(EventKind)) == ()
    *missing, total = run_restored()
    expected = [("job", before.lost), ("upload", factory.speech.id)]
    assert [tuple(line.split()[1:3]) for line in missing] == [(kind, str(one)) for kind, one in expected]
    assert total == "missing_objects=2 repaired_events=2"
    events = copy.events.after(Cursor(), list(EventKind))
    assert len(events) == 2

    # A client that follows the batch with a number from before the restore learns of all jobs, then of changes.
    page = copy.batches.jobs("acme", before.batch, None, 10, (), FAR)
    assert len(page.jobs) == 1
    since = page.changed_until
    assert copy.batches.jobs("acme", before.batch, None, 10, (), since).jobs == ()
    lease = claim(copy)
    changed = copy.batches.jobs("acme", before.batch, None, 10, (), since)
    assert [job.id for job in changed.jobs] == [lease.job_id]
    copy.leases.finish(lease, 10, 1.0)

    # The job that was running is rescued and finished once, also if its old worker returns.
    pass_time(copy, 120)
    assert copy.leases.rescue_expired() == 1
    again = claim(copy)
    assert again.job_id == before.running.job_id
    copy.leases.finish(again, 10, 1.0)
    with pytest.raises(LeaseLostError):
        copy.leases.finish(before.running, 10, 1.0)
    assert {*column(copy, "SELECT state FROM jobs")} == {JobState.SUCCEEDED.value}
    assert {*column(copy, "SELECT count(*) FROM attempts WHERE outcome = 'succeeded' GROUP BY job_id")} == {1}
    assert len(copy.events.after(events[-1].cursor, [EventKind.JOB_FINISHED])) == 2
