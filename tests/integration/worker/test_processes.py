# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
"""Workers as deployed: two processes each, wake-ups from a real broker, stopped and killed by signals.

Workers are forked, see `forks`, and so are the children of light and tiny ones. Children of the others, and the worker
of the last test, are new interpreters.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen
from uuid import UUID

import pytest
from tests.forks import PYTHON, Forked, Forks, children
from tests.integration.orchestration.rows import change
from tests.integration.waiting import wait_until
from tests.integration.worker import light, tiny
from tests.integration.worker.conftest import Send, child_of, expire
from tests.integration.worker.light import began, open_gates
from tests.servers import free_port
from tests.unit.worker import media_files

from dubline.models.presets import TINY as TINY_PRESET
from dubline.options.render import RenderOptions
from dubline.orchestration.domain.events import Cursor, EventKind
from dubline.orchestration.domain.jobs import Cause, Job, JobState, NewJob
from dubline.orchestration.domain.uploads import UploadKind, UploadState
from dubline.orchestration.queue import Notifier, create_app
from dubline.worker.media.mark import of_job
from dubline.worker.runtime.channel import DEVICE_FAILED, QUARANTINED, UNPREPARED

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store
    from dubline.orchestration.settings import BucketSettings, DatabaseSettings
    from dubline.orchestration.storage.objects import Objects

WITHIN_S = 300.0
NO_BROKER = "redis://127.0.0.1:1/0"
HERE = Path(__file__).parent
RENDERER, PROBER = ([*PYTHON, "dubline.worker", role] for role in ("render", "probe"))

Ready = tuple[UUID, UUID]
LIGHT, TINY = ([*PYTHON, f"tests.integration.worker.{name}"] for name in ("light", "tiny"))

Running = Callable[..., AbstractContextManager[Forked]]


@pytest.fixture(scope="session")
def speech_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Speech of two segments of `tiny.py`, of two batches each; the last batch has one frame."""
    frames = tiny.SEGMENT_FRAMES + TINY_PRESET.render_batch + 1
    return media_files.wav(
        tmp_path_factory.mktemp("speech") / "a.wav", media_files.tone(frames / TINY_PRESET.fps)
    ).read_bytes()


@pytest.fixture
def environment(database: DatabaseSettings, bucket: BucketSettings, broker_url: str, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "gates").mkdir()
    return os.environ | {
        "DUBLINE_DATABASE_URL": database.url.get_secret_value(),
        "DUBLINE_BROKER_URL": broker_url,
        "DUBLINE_BUCKET_NAME": bucket.name,
        "DUBLINE_BUCKET_ENDPOINT_URL": bucket.endpoint_url,
        "DUBLINE_BUCKET_ACCESS_KEY": bucket.access_key.get_secret_value(),
        "DUBLINE_BUCKET_SECRET_KEY": bucket.secret_key.get_secret_value(),
        "DUBLINE_WORKER_SCRATCH_DIR": str(tmp_path / "work"),
        "DUBLINE_WORKER_LIVENESS_FILE": str(tmp_path / "alive"),
        "DUBLINE_WORKER_POLL_S": "0.5",
        "DUBLINE_WORKER_PRESETS": "tiny",
        "DUBLINE_LOG_FORMAT": "console",
        "GATES": str(tmp_path / "gates"),
        "PYTHONPATH": str(HERE.parents[2]),
    }


@pytest.fixture
def gates(environment: dict[str, str]) -> Path:
    return Path(environment["GATES"])


@pytest.fixture
def notifier(broker_url: str) -> Iterator[Notifier]:
    notifier = Notifier(create_app(broker_url))
    yield notifier
    notifier.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def running(environment: dict[str, str], log: Path, forks: Forks) -> Running:
    """Start a worker; at the end of the block it must exit with 0, after a SIGTERM if it is still running."""

    @contextmanager
    def running(command: Sequence[str], **settings: str) -> Iterator[Forked]:
        with log.open("ab") as file:
            process = forks.start(command, environment | settings, file)
            try:
                yield process
                process.send_signal(signal.SIGTERM)
                assert process.wait(WITHIN_S) == 0, log.read_text()
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    return running


@pytest.fixture
def insert(store: Store, tenant: str, ready: Ready) -> Callable[..., UUID]:
    def insert(seed: int = 0) -> UUID:
        new = NewJob(
            portrait_upload_id=ready[0], speech_upload_id=ready[1], options=RenderOptions(preset="tiny", seed=seed)
        )
        return store.jobs.insert(tenant, new).id

    return insert


@pytest.fixture
def job_of(store: Store, tenant: str) -> Callable[[UUID], Job]:
    return lambda job_id: store.jobs.get(tenant, job_id)


def test_a_wake_up_makes_the_prober_probe(
    running: Running,
    notifier: Notifier,
    store: Store,
    send: Send,
    tenant: str,
    portrait_bytes: bytes,
    tmp_path: Path,
    log: Path,
) -> None:
    with running(PROBER, DUBLINE_WORKER_POLL_S="3600"):
        # Its first poll finds nothing, and the poll interval is too long for a second.
        wait_until((tmp_path / "alive").exists, WITHIN_S)
        upload = send(UploadKind.PORTRAIT, portrait_bytes, "image/jpeg")
        notifier.notify_probers()
        wait_until(lambda: store.uploads.get(tenant, upload.id).state is UploadState.READY, WITHIN_S)
    assert list((tmp_path / "work").iterdir()) == []
    assert "Traceback" not in log.read_text()


def test_a_job_killed_within_a_segment_gives_the_same_bytes(
    running: Running,
    store: Store,
    objects: Objects,
    tenant: str,
    insert: Callable[..., UUID],
    job_of: Callable[[UUID], Job],
    gates: Path,
    tmp_path: Path,
    log: Path,
) -> None:
    """With the released tiny networks; the second child fetches the motion and the first segment."""

    def digest(job_id: UUID) -> str:
        job = job_of(job_id)
        assert job.result_key is not None, log.read_text()
        objects.get(job.result_key, tmp_path / "video.mp4", limit_bytes=10**9)
        # The mark names the job; everything else must be equal.
        video = (tmp_path / "video.mp4").read_bytes()
        return hashlib.sha256(video.replace(of_job(job.id, job.created_at).encode(), b"")).hexdigest()

    whole = insert(3)
    with running(TINY):
        wait_until(lambda: job_of(whole).state is JobState.SUCCEEDED, WITHIN_S)
        (gates / "hold").touch()
        killed = insert(3)
        wait_until((gates / "held").exists, WITHIN_S)
        os.kill(child_of(store, tenant, killed), signal.SIGKILL)
        (gates / "hold").unlink()
        expire(store)
        wait_until(lambda: job_of(killed).state is JobState.SUCCEEDED, WITHIN_S)
    assert digest(killed) == digest(whole)
    first, second = store.jobs.attempts(tenant, killed)
    assert (first.cause, first.worker == second.worker) == (Cause.WORKER_LOST, False)
    assert "checkpoints=2" in log.read_text()


def test_sigterm_finishes_the_segment_and_another_worker_resumes(
    running: Running,
    store: Store,
    tenant: str,
    insert: Callable[..., UUID],
    job_of: Callable[[UUID], Job],
    gates: Path,
    tmp_path: Path,
) -> None:
    job_id = insert()
    with running(LIGHT) as process:
        wait_until(lambda: began(gates, 0), WITHIN_S)
        process.send_signal(signal.SIGTERM)
        (gates / "0").touch()
        assert process.wait(WITHIN_S) == 0
    assert job_of(job_id).state is JobState.QUEUED
    (attempt,) = store.jobs.attempts(tenant, job_id)
    assert attempt.cause is Cause.SHUTDOWN
    assert attempt.gpu_s > 0
    assert list((tmp_path / "work").iterdir()) == []
    open_gates(gates)
    with running(LIGHT):
        wait_until(lambda: job_of(job_id).state is JobState.SUCCEEDED, WITHIN_S)
    assert [began(gates, number) for number in range(light.SEGMENTS)] == [1, 1, 1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_second_signal_releases_the_job_at_once(
    running: Running,
    store: Store,
    tenant: str,
    insert: Callable[..., UUID],
    job_of: Callable[[UUID], Job],
    gates: Path,
    number: signal.Signals,
) -> None:
    job_id = insert()
    with running(LIGHT) as process:
        wait_until(lambda: began(gates, 0), WITHIN_S)
        process.send_signal(number)
        if number != signal.SIGQUIT:
            # The kernel merges pending signals of one kind, so send until the process ends.
            wait_until(lambda: process.send_signal(number) or process.poll() is not None, WITHIN_S)
        assert process.wait(WITHIN_S) == 0
    assert job_of(job_id).state is JobState.QUEUED
    (attempt,) = store.jobs.attempts(tenant, job_id)
    assert (attempt.cause, attempt.refused_writes) == (Cause.SHUTDOWN, 0)


def test_without_a_broker_jobs_are_rendered_and_stops_work(
    running: Running,
    store: Store,
    tenant: str,
    insert: Callable[..., UUID],
    job_of: Callable[[UUID], Job],
    gates: Path,
    tmp_path: Path,
) -> None:
    job_id = insert()
    with running(LIGHT, DUBLINE_BROKER_URL=NO_BROKER):
        # An idle child must not be killed: the server may execute its last claim after its end.
        wait_until(lambda: began(gates, 0), WITHIN_S)
        os.kill(child_of(store, tenant, job_id), signal.SIGKILL)
        open_gates(gates)
        expire(store)
        # The parent replaces its child without a broker.
        wait_until(lambda: job_of(job_id).state is JobState.SUCCEEDED, WITHIN_S)
    first, second = store.jobs.attempts(tenant, job_id)
    assert (first.cause, first.worker == second.worker) == (Cause.WORKER_LOST, False)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_worker_stops_rendering_a_cancelled_job(
    running: Running,
    store: Store,
    tenant: str,
    insert: Callable[..., UUID],
    job_of: Callable[[UUID], Job],
    gates: Path,
) -> None:
    cancelled = insert()
    with running(LIGHT):
        wait_until(lambda: began(gates, 0), WITHIN_S)
        other = insert()
        store.jobs.cancel(tenant, cancelled)
        # The worker continues although the gate never opened.
        wait_until(lambda: began(gates, 0) == 2, WITHIN_S)
        open_gates(gates)
        wait_until(lambda: job_of(other).state is JobState.SUCCEEDED, WITHIN_S)
    assert job_of(cancelled).state is JobState.CANCELLED
    (attempt,) = store.jobs.attempts(tenant, cancelled)
    assert (attempt.cause, attempt.refused_writes) == (Cause.CANCELLED, 1)


def test_a_poison_pill_fails_and_other_jobs_succeed(
    running: Running,
    store: Store,
    tenant: str,
    insert: Callable[..., UUID],
    job_of: Callable[[UUID], Job],
    gates: Path,
) -> None:
    open_gates(gates)
    poison = insert(light.POISON)
    other = insert()
    with running(LIGHT):
        # The only worker that is left does not end a job before it has passed its self-test.
        for attempt in (1, 2, 3, 4):
            wait_until(lambda: job_of(poison).attempt_count == attempt, WITHIN_S)  # noqa: B023
            pid = child_of(store, tenant, poison)
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), WITHIN_S)  # noqa: B023
            expire(store)
        assert len({one.worker for one in store.jobs.attempts(tenant, poison)}) == 4
        wait_until(lambda: job_of(other).state is JobState.SUCCEEDED, WITHIN_S)
    failed = job_of(poison)
    assert (failed.state, failed.error_code) == (JobState.FAILED, "attempts_exhausted")


def test_a_failed_device_ends_the_child_and_the_next_resumes(
    running: Running,
    store: Store,
    tenant: str,
    insert: Callable[..., UUID],
    job_of: Callable[[UUID], Job],
    gates: Path,
    log: Path,
) -> None:
    open_gates(gates)
    job_id = insert(light.BROKEN)
    port = free_port()

    def counts() -> str:
        return urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60).read().decode()

    with running(LIGHT, DUBLINE_METRICS_PORT=str(port)):
        wait_until(lambda: job_of(job_id).state is JobState.SUCCEEDED, WITHIN_S)
        # The second child has the port of the first one.
        wait_until(lambda: 'outcome="succeeded",pool="default"} 1.0' in counts(), WITHIN_S)
    first, second = store.jobs.attempts(tenant, job_id)
    assert (first.error_code, first.worker == second.worker) == ("device_failed", False)
    assert f"exit_code={DEVICE_FAILED}" in log.read_text()


def test_a_sick_worker_quarantines_itself_and_tries_again(
    running: Running,
    store: Store,
    insert: Callable[..., UUID],
    job_of: Callable[[UUID], Job],
    gates: Path,
    log: Path,
    tmp_path: Path,
) -> None:
    open_gates(gates)
    (gates / "sick").touch()
    job_id = insert(20)
    liveness = tmp_path / "alive"
    (gates / "held").touch()
    with running(LIGHT, QUARANTINE_FACTOR="0.01") as process:
        # The worker's name has the process that forks its children.
        wait_until(lambda: children(process), WITHIN_S)
        name = f"{socket.gethostname()}:{children(process)[0]}"
        # As if it had failed three jobs before.
        change(store, "INSERT INTO workers (name, failure_count) VALUES (:name, 3)", name=name)
        (gates / "held").unlink()
        wait_until(lambda: liveness.exists() and liveness.read_text(), WITHIN_S)
        (event,) = store.events.after(Cursor(), {EventKind.WORKER_QUARANTINED})
        assert (event.payload["worker"], job_of(job_id).attempt_count) == (name, 0)
        (gates / "sick").unlink()
        change(store, "UPDATE workers SET quarantined_until = now()")
        wait_until(lambda: job_of(job_id).state is JobState.SUCCEEDED, WITHIN_S)
        assert not liveness.read_text()
    assert f"exit_code={QUARANTINED}" in log.read_text()
    assert "self_test_succeeded" in log.read_text()


def test_a_renderer_without_its_device_stops_and_logs_why(
    environment: dict[str, str], forks: Forks, tmp_path: Path
) -> None:
    done = forks.run(RENDERER, environment | {"DUBLINE_WORKER_DEVICE": "gigantic"}, WITHIN_S)
    assert done.returncode == UNPREPARED, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "worker_not_prepared" in line]
    assert "gigantic" in line
    assert list((tmp_path / "work").iterdir()) == []
    assert not (tmp_path / "alive").exists()


def test_a_killed_worker_leaves_no_child_process(environment: dict[str, str], log: Path, tmp_path: Path) -> None:
    with log.open("wb") as file:
        process = subprocess.Popen(PROBER, env=environment, stderr=file)
        wait_until((tmp_path / "alive").exists, WITHIN_S)
        (child,) = children(process)
        process.kill()
        process.wait()
    wait_until(lambda: not Path(f"/proc/{child}").exists(), WITHIN_S)
