from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis
import structlog

from dubline.orchestration import control
from dubline.orchestration.jobs import JobState
from dubline.orchestration.queue import PROBE_QUEUE, RENDER_QUEUE, Waker, create_app
from dubline.orchestration.settings import DatabaseSettings
from dubline.orchestration.store import Store
from dubline.orchestration.uploads import UploadKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.orchestration.conftest import Studio

    from dubline.orchestration.settings import BucketSettings

EXPIRED_S = -1.0
DEAD_BROKER = "redis://127.0.0.1:1/0"


@pytest.fixture
def waker(broker_url: str) -> Iterator[Waker]:
    with redis.Redis.from_url(broker_url) as connection:
        connection.flushall()
    waker = Waker(create_app(broker_url))
    yield waker
    waker.close()


@pytest.fixture
def environment(database: DatabaseSettings, broker_url: str, bucket: BucketSettings) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DUBLINE_DATABASE_URL": database.url.get_secret_value(),
        "DUBLINE_BROKER_URL": broker_url,
        "DUBLINE_BUCKET_NAME": "made-by-command",
        "DUBLINE_BUCKET_ENDPOINT_URL": bucket.endpoint_url,
        "DUBLINE_BUCKET_ACCESS_KEY": "test",
        "DUBLINE_BUCKET_SECRET_KEY": "test",
        "DUBLINE_CONTROL_PERIOD_S": "0.1",
    }


def command(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "dubline.orchestration", *arguments]
    return subprocess.run(line, env=env, capture_output=True, text=True, check=False, timeout=30)


def test_a_turn_rescues_and_wakes(store: Store, studio: Studio, waker: Waker) -> None:
    job = studio.job()
    store.leases.claim("lost", EXPIRED_S)
    studio.probing(UploadKind.SPEECH)
    store.uploads.claim("lost", EXPIRED_S)
    assert control.take_turn(store, waker)
    assert store.jobs.get("acme", job.id).state is JobState.RETRYING
    assert (waker.waiting(RENDER_QUEUE), waker.waiting(PROBE_QUEUE)) == (1, 1)


def test_a_turn_with_nothing_to_do_wakes_nobody(store: Store, waker: Waker) -> None:
    assert control.take_turn(store, waker)
    assert waker.waiting(RENDER_QUEUE) == 0


def test_only_one_process_has_the_turn(store: Store, waker: Waker) -> None:
    with store.control_turn() as mine:
        assert mine
        assert not control.take_turn(store, waker)
    assert control.take_turn(store, waker)


def test_rescue_goes_on_while_the_broker_is_dead(store: Store, studio: Studio) -> None:
    job = studio.job()
    store.leases.claim("lost", EXPIRED_S)
    waker = Waker(create_app(DEAD_BROKER))
    assert control.take_turn(store, waker)
    assert store.jobs.get("acme", job.id).state is JobState.RETRYING
    waker.close()


def test_a_database_that_is_away_costs_a_turn_and_not_the_process(waker: Waker) -> None:
    away = DatabaseSettings.model_validate({"url": "postgresql+psycopg://postgres@127.0.0.1:1/dubline"})
    stop = threading.Event()
    with Store.connect(away) as store, structlog.testing.capture_logs() as events:
        loop = threading.Thread(target=control.run, args=(store, waker, 0.01, stop))
        loop.start()
        deadline = time.monotonic() + 10
        while [event["event"] for event in events].count("control_turn_missed") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        stop.set()
        loop.join(5)
    assert events[-1]["event"] == "control_stopped"


def test_the_process_rescues_until_sigterm_which_ends_the_wait_for_its_next_turn(
    store: Store, studio: Studio, environment: dict[str, str]
) -> None:
    environment["DUBLINE_CONTROL_PERIOD_S"] = "3600"
    job = studio.job()
    store.leases.claim("lost", EXPIRED_S)
    options: dict[str, Any] = {"env": environment, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-m", "dubline.orchestration", "control"], **options) as process:
        deadline = time.monotonic() + 15
        while store.jobs.get("acme", job.id).state is not JobState.RETRYING:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert '"event": "jobs_rescued"' in said
    assert '"event": "control_stopped"' in said


def test_the_commands_prepare_an_installation(store: Store, environment: dict[str, str]) -> None:
    assert command("migrate", env=environment).returncode == 0
    assert command("create-bucket", env=environment).returncode == 0
    made = command("create-key", "acme", env=environment)
    assert store.keys.tenant(made.stdout.strip()) == "acme"


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
