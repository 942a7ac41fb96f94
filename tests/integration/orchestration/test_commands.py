from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import pytest
import redis
from sqlalchemy import text
from tests.integration.conftest import wait_until

from dubline.orchestration.__main__ import _parser
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.errors import NotFoundError
from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.queue import RENDER_QUEUE
from dubline.orchestration.settings import ControlSettings
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.queue import Waker
    from dubline.orchestration.settings import BucketSettings

START_WITHIN_S = 60.0
"""A machine that does much else at the same time needs seconds to import our libraries."""
LINE = [sys.executable, "-m", "dubline.orchestration"]


def command(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LINE, *arguments], env=env, capture_output=True, text=True, check=False, timeout=START_WITHIN_S
    )


@contextmanager
def control(env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A control process that has started."""
    with log.open("wb") as said, subprocess.Popen([*LINE, "control"], env=env, stderr=said) as process:
        try:
            wait_until(lambda: "control_started" in log.read_text(), START_WITHIN_S)
            yield process
        finally:
            process.kill()


class Here(Protocol):
    """Runs a command in this process, without what turns errors into sentences."""

    def __call__(self, *arguments: str) -> int: ...


@pytest.fixture
def objects(environment: dict[str, str], bucket: BucketSettings) -> Objects:
    """The bucket of the commands, which is new and empty."""
    environment["DUBLINE_BUCKET_NAME"] = name = f"swept-{uuid4()}"
    objects = Objects(bucket.model_copy(update={"name": name}))
    objects.create_bucket()
    return objects


@pytest.fixture
def here(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Here:
    def run(*arguments: str) -> int:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        parsed = _parser().parse_args(arguments)
        return int(parsed.run(parsed))

    return run


def lose_one(store: Store, factory: JobFactory) -> None:
    """Have a worker lose a job, and wait until it is taken back."""
    job = factory.job()
    store.leases.claim("lost", 0.01)
    wait_until(lambda: store.jobs.get("acme", job.id).state is JobState.RETRYING, START_WITHIN_S)
    store.jobs.cancel("acme", job.id)


def test_a_standby_takes_over_from_a_control_process_that_is_killed(
    store: Store, factory: JobFactory, environment: dict[str, str], waker: Waker, tmp_path: Path
) -> None:
    with control(environment, tmp_path / "one") as one, control(environment, tmp_path / "two") as two:
        lose_one(store, factory)
        one.kill()
        one.wait()
        lose_one(store, factory)
        factory.job()
        wait_until(lambda: waker.waiting(RENDER_QUEUE) > 0, START_WITHIN_S)
        assert two.poll() is None


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_control_process_ends_at_once_when_asked_to(
    signum: int, environment: dict[str, str], store: Store, tmp_path: Path
) -> None:
    environment |= {f"DUBLINE_CONTROL_{name}_S": "3600" for name in ("RELAY", "RECONCILE", "RESCUE", "JANITOR")}
    with control(environment, tmp_path / "log") as process:
        process.send_signal(signum)
        assert process.wait(START_WITHIN_S) == 0
    assert '"hanging": []' in (tmp_path / "log").read_text()
    store.check()


def test_a_broker_that_comes_back_gets_what_was_committed_meanwhile(
    factory: JobFactory, environment: dict[str, str], waker: Waker, tmp_path: Path
) -> None:
    # A broker that refuses writes, and then takes them: as after its disk was full. Only the relay looks again soon.
    environment["DUBLINE_CONTROL_RECONCILE_S"] = "3600"
    with redis.Redis.from_url(environment["DUBLINE_BROKER_URL"]) as broker:
        broker.config_set("maxmemory", 1)
        try:
            with control(environment, tmp_path / "log"):
                factory.job()
                wait_until(lambda: "broker_unavailable" in (tmp_path / "log").read_text(), START_WITHIN_S)
                assert waker.waiting(RENDER_QUEUE) == 0
                broker.config_set("maxmemory", 0)
                wait_until(lambda: waker.waiting(RENDER_QUEUE) > 0, START_WITHIN_S)
        finally:
            broker.config_set("maxmemory", 0)


def test_the_commands_prepare_an_installation(store: Store, here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    assert here("migrate") == here("create-bucket") == here("create-bucket") == here("create-key", "acme") == 0
    caller = store.keys.authenticate(capsys.readouterr().out.strip())
    assert caller is not None
    assert caller.tenant == "acme"


def test_the_command_sweep_counts_and_removes(
    factory: JobFactory, here: Here, objects: Objects, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    orphan = f"results/{uuid4()}/1-{uuid4()}.mp4"
    for key in (orphan, factory.speech.object_key):
        objects.put(tmp_path / "file", key, "video/mp4")
    assert here("sweep", "--dry-run") == here("sweep") == 0
    assert capsys.readouterr().out == "objects=2 referenced=1 doomed=0 orphans=0\n" * 2
    # Nothing is old enough by what may be set.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ControlSettings, "read", lambda: ControlSettings.model_construct(orphan_age_s=-1.0))
        assert here("sweep", "--dry-run") == 1
        assert objects.size_bytes(orphan) == 10
        assert here("sweep") == 0
        assert [one.key for one in objects.list()] == [factory.speech.object_key]
        assert here("sweep", "--dry-run") == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("objects=")]
    assert said == ["objects=2 referenced=1 doomed=0 orphans=1"] * 2 + ["objects=1 referenced=1 doomed=0 orphans=0"]


def test_the_command_retention_dates_what_is_there(
    store: Store, factory: JobFactory, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("retention", "acme", "--inputs-s", "60", "--results-s", "keep")
    assert here(*line) == 0
    assert store.deletions.expire() == 0
    with transaction(store._engine) as session:
        aged = "UPDATE uploads SET expire_at = expire_at - interval '2 minutes' WHERE id = :id"
        session.execute(text(aged), {"id": factory.speech.id})
    assert store.deletions.expire() == 1
    with pytest.raises(SystemExit) as refused:
        here("retention", "acme", "--inputs-s", "1", "--results-s", "keep")
    assert refused.value.code == 2
    assert "'1' is neither 'keep' nor 60 to" in capsys.readouterr().err
    with pytest.raises(NotFoundError):
        here("retention", "nobody", *line[2:])


def test_the_command_audit_shows_a_deletion(
    store: Store, factory: JobFactory, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    upload_id = factory.speech.id
    assert here("audit", "acme", str(upload_id)) == 1
    audit_id = store.deletions.upload("acme", upload_id, "key:0123456789ab")
    assert here("audit", "acme", str(upload_id)) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(f"delete upload {upload_id} audit={audit_id} actor=key:0123456789ab objects=1 completed=no")


def test_a_missing_setting_is_named_without_a_traceback(environment: dict[str, str]) -> None:
    del environment["DUBLINE_DATABASE_URL"]
    failed = command("migrate", env=environment)
    assert failed.returncode == 2
    assert "DUBLINE_DATABASE_URL" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_database_that_is_away_is_told_in_a_sentence(environment: dict[str, str]) -> None:
    environment["DUBLINE_DATABASE_URL"] = "postgresql+psycopg://postgres@127.0.0.1:1/dubline"
    failed = command("migrate", env=environment)
    assert failed.returncode == 1
    assert "The database does not answer" in failed.stderr
    assert "Traceback" not in failed.stderr
