# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
"""The two worker processes as they are deployed: Celery's prefork pool, woken through a real broker."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.conftest import wait_until
from tests.integration.worker.conftest import Send

from dubline.orchestration.jobs import JobState, NewJob
from dubline.orchestration.queue import Waker, create_app
from dubline.orchestration.settings import BucketSettings, DatabaseSettings
from dubline.orchestration.store import Store
from dubline.orchestration.uploads import UploadKind, UploadState
from dubline.worker.__main__ import UNPREPARED

WITHIN_S = 60.0


@pytest.fixture
def environment(database: DatabaseSettings, bucket: BucketSettings, broker_url: str, tmp_path: Path) -> dict[str, str]:
    return os.environ | {
        "DUBLINE_DATABASE_URL": database.url.get_secret_value(),
        "DUBLINE_BROKER_URL": broker_url,
        "DUBLINE_BUCKET_NAME": bucket.name,
        "DUBLINE_BUCKET_ENDPOINT_URL": bucket.endpoint_url,
        "DUBLINE_BUCKET_ACCESS_KEY": bucket.access_key.get_secret_value(),
        "DUBLINE_BUCKET_SECRET_KEY": bucket.secret_key.get_secret_value(),
        "DUBLINE_WORKER_SCRATCH_DIR": str(tmp_path / "work"),
        "DUBLINE_LOG_FORMAT": "console",
    }


@pytest.fixture
def waker(broker_url: str) -> Iterator[Waker]:
    waker = Waker(create_app(broker_url))
    yield waker
    waker.close()


@contextmanager
def running(role: str, environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that has taken SIGTERM well by the end of the block."""
    with log.open("wb") as file:
        command = [sys.executable, "-m", "dubline.worker", role]
        process = subprocess.Popen(command, env=environment, stderr=file, start_new_session=True)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(WITHIN_S) == 0, log.read_text()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def test_a_woken_prober_decides_and_stops_cleanly(
    environment: dict[str, str],
    waker: Waker,
    store: Store,
    send: Send,
    tenant: str,
    portrait_bytes: bytes,
    tmp_path: Path,
) -> None:
    upload = send(UploadKind.PORTRAIT, portrait_bytes, "image/jpeg")
    waker.wake_prober()
    with running("probe", environment, tmp_path / "log"):
        wait_until(lambda: store.uploads.get(tenant, upload.id).state is UploadState.READY, WITHIN_S)
    assert list((tmp_path / "work").iterdir()) == []
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_woken_renderer_finishes_its_job_before_it_obeys_sigterm(
    environment: dict[str, str],
    waker: Waker,
    store: Store,
    tenant: str,
    ready: tuple[object, object],
    tmp_path: Path,
) -> None:
    new = NewJob(portrait_upload_id=ready[0], speech_upload_id=ready[1])  # type: ignore[arg-type]
    job = store.jobs.insert(tenant, new)
    waker.wake_renderer()
    with running("render", environment, tmp_path / "log"):
        wait_until(lambda: store.jobs.get(tenant, job.id).state is not JobState.QUEUED, WITHIN_S)
    finished = store.jobs.get(tenant, job.id)
    assert (finished.state, finished.attempt_count) == (JobState.SUCCEEDED, 1), (tmp_path / "log").read_text()
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("wrong", [{"DUBLINE_WORKER_PRESET": "gigantic"}, {"DUBLINE_WORKER_DEVICE": "abacus"}])
def test_a_renderer_that_cannot_work_stops_and_says_why(
    environment: dict[str, str], tmp_path: Path, wrong: dict[str, str]
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "dubline.worker", "render"]
        done = subprocess.run(command, env=environment | wrong, stderr=file, timeout=WITHIN_S, check=False)
    assert done.returncode == UNPREPARED, log.read_text()
    (line,) = [line for line in log.read_text().splitlines() if "worker_not_prepared" in line]
    assert next(iter(wrong.values())) in line
    assert list((tmp_path / "work").iterdir()) == []


def test_a_killed_worker_leaves_no_process_behind(environment: dict[str, str], tmp_path: Path) -> None:
    def children() -> list[int]:
        listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        return [int(child) for child in listing.read_text().split()]

    log = tmp_path / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "dubline.worker", "probe"]
        process = subprocess.Popen(command, env=environment, stderr=file)
        wait_until(lambda: b"worker_prepared" in log.read_bytes(), WITHIN_S)
        (child,) = children()
        process.kill()
        process.wait()
    wait_until(lambda: not Path(f"/proc/{child}").exists(), WITHIN_S)
