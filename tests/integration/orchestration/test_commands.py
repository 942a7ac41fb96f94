# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import psycopg
import pytest
import redis
import structlog
from tests.forks import PYTHON, Forked, Forks
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import pass_time
from tests.integration.waiting import wait_until

from dubline.orchestration.__main__ import _execute, _parser
from dubline.orchestration.commands import database as commands
from dubline.orchestration.domain.errors import DatabaseUnavailableError, NotFoundError
from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.queue import RENDER_QUEUE
from dubline.orchestration.scaling import simulate
from dubline.orchestration.settings import MaintenanceSettings
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.queue import Notifier
    from dubline.orchestration.settings import BucketSettings, DatabaseSettings

START_WITHIN_S = 180.0
"""A busy machine needs seconds to import the libraries."""
LINE = [*PYTHON, "dubline.orchestration"]
QUICK = [*PYTHON, "tests.integration.orchestration.short_waits"]

#: Runs a maintenance process with an environment and a file for its log.
Maintenance = Callable[..., AbstractContextManager[Forked | subprocess.Popen[bytes]]]


@pytest.fixture
def maintenance(forks: Forks) -> Maintenance:
    @contextmanager
    def maintenance(
        env: dict[str, str], log: Path, *, is_forked: bool = True, program: list[str] = LINE
    ) -> Iterator[Forked | subprocess.Popen[bytes]]:
        """Wait until it has started."""
        line = [*program, "maintenance"]
        with log.open("wb") as stderr:
            process = forks.start(line, env, stderr) if is_forked else subprocess.Popen(line, env=env, stderr=stderr)
        try:
            wait_until(lambda: "maintenance_started" in log.read_text(), START_WITHIN_S)
            yield process
        finally:
            process.kill()
            process.wait()

    return maintenance


class RunCommand(Protocol):
    """Runs a command in this process; errors are raised, not printed."""

    def __call__(self, *arguments: str) -> int: ...


@pytest.fixture
def objects(environment: dict[str, str], bucket: BucketSettings) -> Objects:
    """The bucket of the commands: new and empty."""
    environment["DUBLINE_BUCKET_NAME"] = name = f"swept-{uuid4()}"
    objects = Objects(bucket.model_copy(update={"name": name}))
    objects.create_bucket()
    return objects


@pytest.fixture
def run_command(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> RunCommand:
    def run(*arguments: str) -> int:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return _execute(_parser().parse_args(arguments))

    return run


def lose_one(store: Store, factory: JobFactory) -> None:
    """Let a job's lease expire, and wait until the job is rescued."""
    job = factory.job()
    store.leases.claim("lost", 0.01)
    wait_until(lambda: store.jobs.get("acme", job.id).state is JobState.RETRYING, START_WITHIN_S)
    store.jobs.cancel("acme", job.id)


def test_a_standby_replaces_a_killed_maintenance_process(
    store: Store,
    factory: JobFactory,
    environment: dict[str, str],
    notifier: Notifier,
    maintenance: Maintenance,
    tmp_path: Path,
) -> None:
    with (
        maintenance(environment, tmp_path / "one", program=QUICK) as one,
        maintenance(environment, tmp_path / "two", program=QUICK) as two,
    ):
        lose_one(store, factory)
        one.kill()
        one.wait()
        lose_one(store, factory)
        factory.job()
        wait_until(lambda: notifier.queue_length(RENDER_QUEUE) > 0, START_WITHIN_S)
        assert two.poll() is None


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_maintenance_process_stops_promptly_on_a_signal(
    signum: int, environment: dict[str, str], store: Store, maintenance: Maintenance, tmp_path: Path
) -> None:
    environment |= {f"DUBLINE_MAINTENANCE_{name}_S": "3600" for name in ("PUBLISH", "RECONCILE", "RESCUE", "CLEAN")}
    # One is a new interpreter, which has to import what it needs.
    with maintenance(environment, tmp_path / "log", is_forked=signum != signal.SIGTERM) as process:
        process.send_signal(signum)
        assert process.wait(START_WITHIN_S) == 0
    assert '"hanging": []' in (tmp_path / "log").read_text()
    store.check()


def test_after_a_broker_outage_committed_rows_are_published(
    factory: JobFactory, environment: dict[str, str], notifier: Notifier, maintenance: Maintenance, tmp_path: Path
) -> None:
    # The broker refuses writes, as with a full disk, and then accepts them. Reconciliation is off.
    environment["DUBLINE_MAINTENANCE_RECONCILE_S"] = "3600"
    with redis.Redis.from_url(environment["DUBLINE_BROKER_URL"]) as broker:
        broker.config_set("maxmemory", 1)
        try:
            with maintenance(environment, tmp_path / "log"):
                factory.job()
                wait_until(lambda: "broker_unavailable" in (tmp_path / "log").read_text(), START_WITHIN_S)
                assert notifier.queue_length(RENDER_QUEUE) == 0
                broker.config_set("maxmemory", 0)
                wait_until(lambda: notifier.queue_length(RENDER_QUEUE) > 0, START_WITHIN_S)
        finally:
            broker.config_set("maxmemory", 0)


def test_commands_set_up_an_installation(
    store: Store, run_command: RunCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run_command("migrate")
        == run_command("create-bucket")
        == run_command("create-bucket")
        == run_command("create-key", "acme")
        == 0
    )
    caller = store.keys.authenticate(capsys.readouterr().out.strip())
    assert caller is not None
    assert caller.tenant == "acme"


def test_one_command_prepares_an_installation(
    store: Store, run_command: RunCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("prepare", "acme") == run_command("prepare", "acme") == 0
    first, second = (store.keys.authenticate(secret) for secret in capsys.readouterr().out.split())
    assert first is not None
    assert second is not None
    assert first.tenant == second.tenant == "acme"


def test_commands_manage_keys(store: Store, run_command: RunCommand, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("keys", "create", "acme", "--scope", "read", "--expires-s", "60") == 0
    first = store.keys.list("acme")[0]
    assert first.scopes == {"read"}
    secret = capsys.readouterr().out.strip()
    assert run_command("keys", "rotate", "acme", first.id, "--overlap-s", "0") == 0
    assert store.keys.authenticate(secret) is None
    capsys.readouterr()
    assert run_command("keys", "list", "acme") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["scopes=read", "scopes=read"]
    assert run_command("keys", "revoke", "acme", lines[1].split()[0]) == 0
    with pytest.raises(NotFoundError):
        run_command("keys", "revoke", "acme", lines[1].split()[0])
    assert len(store.keys.list("acme")) == 1


def test_the_limits_of_a_tenant_are_set_and_shown(
    factory: JobFactory, run_command: RunCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("tenants", "set", factory.tenant, "--queued-jobs", "5", "--requests-per-s", "0.5")
    assert run_command(*line) == run_command("tenants", "set", "acme", "--requests-per-s", "default") == 0
    first, last = capsys.readouterr().out.split("held: jobs=0 speech_s=0 stored_bytes=20\n")[:2]
    assert "requests_per_s=0.5 (own)\nqueued_jobs=5 (own)\n" in first
    assert "requests_per_s=100 (default)\nqueued_jobs=5 (own)\n" in last
    assert "running_jobs=none (default)\nstored_bytes=1000000000000 (default)\n" in last
    with pytest.raises(NotFoundError):
        run_command("tenants", "show", "nobody")
    for wrong in ("0", "-1", "nan", "inf", "2.5", "many"):
        with pytest.raises(SystemExit):
            run_command("tenants", "set", "acme", "--queued-jobs", wrong)
    assert "'2.5' is neither 'default' nor a number above 0" in capsys.readouterr().err


def test_the_audit_log_and_the_usage_are_exported(
    store: Store, factory: JobFactory, run_command: RunCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    store.jobs.cancel("acme", factory.job().id)
    assert run_command("audit-export") == run_command("audit-export", "acme") == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {entry["action"] for entry in entries} == {"create_tenant", "create_key"}
    assert len(entries) == 4
    assert run_command("usage", "2000-01-01", "2100-01-01") == 0
    header, row = capsys.readouterr().out.splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["cancelled"] == "1"


def test_a_trace_of_all_tenants_is_accepted_by_the_simulator(
    store: Store, factory: JobFactory, run_command: RunCommand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "jobs.csv"
    jobs = [one.job() for _ in range(12) for one in (factory, JobFactory(store, "other"))]
    for _ in jobs:
        lease = store.leases.claim("worker-1", 60)
        assert lease is not None
        store.leases.finish(lease, 1000, 3.0, 1800.5)
    store.jobs.cancel("acme", factory.job().id)
    days = [one.created_at.date().isoformat() for one in (jobs[0], jobs[-1])]
    assert run_command("usage", *days, "--trace", str(path)) == 0
    assert f"24 jobs written to {path}" in capsys.readouterr().err
    header, *rows = path.read_text().splitlines()
    assert header == "arrival,device_s,preset"
    assert rows == sorted(rows)
    assert {row.split(",", 1)[1] for row in rows} == {"1800.5,base"}
    assert simulate.main(["--trace", str(path), "--seeds", "1"]) == 0
    printed = capsys.readouterr().out
    assert "24 jobs; device hours by preset: base 12.0" in printed
    assert "slo_attained=" in printed


def test_a_trace_that_cannot_be_written_is_an_error(
    store: Store, run_command: RunCommand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("usage", "2000-01-01", "2000-01-02", "--trace", str(tmp_path)) == 1
    assert "cannot be written: Is a directory" in capsys.readouterr().err
    store.check()


def test_sweep_counts_and_removes_orphans(
    factory: JobFactory, run_command: RunCommand, objects: Objects, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    orphan = f"results/{uuid4()}/1-{uuid4()}.mp4"
    for key in (orphan, factory.speech.object_key):
        objects.put(tmp_path / "file", key, "video/mp4")
    assert run_command("sweep", "--dry-run") == run_command("sweep") == 0
    assert capsys.readouterr().out == "objects=2 referenced=1 pending_deletion=0 orphans=0\n" * 2
    # No object is older than the smallest valid setting.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MaintenanceSettings, "read", lambda: MaintenanceSettings.model_construct(orphan_age_s=-1.0))
        assert run_command("sweep", "--dry-run") == 1
        assert objects.size_bytes(orphan) == 10
        assert run_command("sweep") == 0
        assert [one.key for one in objects.list()] == [factory.speech.object_key]
        assert run_command("sweep", "--dry-run") == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("objects=")]
    assert printed == ["objects=2 referenced=1 pending_deletion=0 orphans=1"] * 2 + [
        "objects=1 referenced=1 pending_deletion=0 orphans=0"
    ]


def test_retention_applies_to_existing_files(
    store: Store, factory: JobFactory, run_command: RunCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("retention", "acme", "--inputs-s", "60", "--results-s", "keep")
    assert run_command(*line) == 0
    assert store.deletions.expire() == 0
    pass_time(store, 120)
    assert store.deletions.expire() == 2
    assert factory.speech.object_key in store.deletions.pending(2)
    with pytest.raises(SystemExit) as refused:
        run_command("retention", "acme", "--inputs-s", "1", "--results-s", "keep")
    assert refused.value.code == 2
    assert "'1' is neither 'keep' nor 60 to" in capsys.readouterr().err
    with pytest.raises(NotFoundError):
        run_command("retention", "nobody", *line[2:])


def test_audit_prints_a_deletion(
    store: Store, factory: JobFactory, run_command: RunCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    upload_id = factory.speech.id
    assert run_command("audit", "acme", str(upload_id)) == 1
    audit_id = store.deletions.upload("acme", upload_id, "key:0123456789ab")
    assert run_command("audit", "acme", str(upload_id)) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(f"delete upload {upload_id} audit={audit_id} actor=key:0123456789ab objects=1 completed=no")


def test_an_unavailable_database_is_reported_in_one_sentence(environment: dict[str, str], forks: Forks) -> None:
    environment["DUBLINE_DATABASE_URL"] = "postgresql+psycopg://postgres@127.0.0.1:1/dubline"
    failed = forks.run([*LINE, "migrate"], environment, START_WITHIN_S)
    assert failed.returncode == 1
    assert "The database does not respond" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_migrate_waits_for_the_database_as_long_as_it_is_told(
    database: DatabaseSettings, run_command: RunCommand, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = database.url.get_secret_value()
    environment["DUBLINE_DATABASE_URL"] = url.replace("//postgres@", "//later@")
    with pytest.raises(DatabaseUnavailableError):
        run_command("migrate")
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as admin:
        monkeypatch.setattr(commands.time, "sleep", lambda _: admin.execute("CREATE ROLE later LOGIN SUPERUSER"))
        try:
            with structlog.testing.capture_logs() as events:
                assert run_command("migrate", "--wait-s", "60") == 0
        finally:
            admin.execute("DROP ROLE later")
    assert [event["event"] for event in events] == ["database_awaited"]


def test_an_old_command_is_logged_and_a_missing_setting_reported(environment: dict[str, str], forks: Forks) -> None:
    del environment["DUBLINE_DATABASE_URL"]
    failed = forks.run([*LINE, "control"], environment, START_WITHIN_S)
    assert failed.returncode == 2
    assert "DUBLINE_DATABASE_URL" in failed.stderr
    assert "Traceback" not in failed.stderr
    (event,) = [json.loads(line) for line in failed.stderr.splitlines() if "command_renamed" in line]
    assert (event["old"], event["new"]) == ("control", "maintenance")


def test_dubline_tenants_runs_the_command_of_the_operator(
    factory: JobFactory, environment: dict[str, str], forks: Forks
) -> None:
    line = [*PYTHON, "dubline.client", "tenants", "set", factory.tenant, "--queued-jobs", "7"]
    run = forks.run(line, environment, START_WITHIN_S)
    assert run.returncode == 0, run.stderr
    assert "queued_jobs=7 (own)" in run.stdout
