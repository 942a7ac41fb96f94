# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
"""Long jobs that several workers render, with stub networks. The second worker runs within a report of the first."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.orchestration.rows import change, column
from tests.integration.worker.conftest import Send, expire
from tests.unit.worker import media_files as media

from dubline.options.render import PRESETS, OutputOptions, RenderOptions
from dubline.orchestration.domain.errors import EncoderFailedError
from dubline.orchestration.domain.jobs import Cause, JobState, NewJob, Stage
from dubline.orchestration.domain.uploads import UploadFacts, UploadKind
from dubline.worker.media.mark import of_job
from dubline.worker.rendering import pipeline
from dubline.worker.runtime.shutdown import Shutdown

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.storage.objects import Objects
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.pipeline import Renderer

Hook = Callable[[Stage, float], None]
#: Ten segments of 8 frames, the last of 3.
SECONDS, SEGMENT_FRAMES, SEGMENTS = 3.0, 8, 10
TENANT = "acme"


class KilledError(BaseException):
    """Stands for SIGKILL: no executor catches it."""


@pytest.fixture
def long_job(
    store: Store, send: Send, ready: tuple[UUID, UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> NewJob:
    monkeypatch.setattr(pipeline.motion, "SEGMENT_FRAMES", SEGMENT_FRAMES)
    monkeypatch.setattr(pipeline.device, "CPU_FRAMES", (SEGMENT_FRAMES,))
    data = media.wav(tmp_path / "long.wav", media.tone(SECONDS)).read_bytes()
    speech = send(UploadKind.SPEECH, data, "audio/wav")
    lease = store.uploads.claim("prober", 20)
    assert lease is not None
    facts = UploadFacts(
        media_type="audio/wav", size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), duration_s=SECONDS
    )
    store.uploads.accept(lease, facts)
    options = RenderOptions(seed=1, output=OutputOptions(height_px=192))
    return NewJob(portrait_upload_id=ready[0], speech_upload_id=speech.id, options=options)


@pytest.fixture
def owner(worker: RenderExecutor, renderer: Renderer) -> RenderExecutor:
    return replace(worker, helper=renderer, worker="owner:1/1")


@pytest.fixture
def helper(worker: RenderExecutor, renderer: Renderer) -> RenderExecutor:
    return replace(worker, helper=renderer, worker="helper:1/1")


def with_hook(executor: RenderExecutor, hook: Hook, *, helps: bool = False) -> RenderExecutor:
    """Copy a worker, with a shutdown of its own, and call `hook` before each report of its jobs or its shares."""
    renderer: Any = executor.renderer

    class Hooked:
        version = renderer.version

        def run(self, job: Any, scratch: Path, report: Hook, checkpoints: Any) -> Any:
            return renderer.run(job, scratch, report if helps else hooked(report), checkpoints)

        def help(self, job: Any, scratch: Path, report: Hook, checkpoints: Any) -> None:
            renderer.help(job, scratch, hooked(report) if helps else report, checkpoints)

    def hooked(report: Hook) -> Hook:
        def both(stage: Stage, percent: float) -> None:
            hook(stage, percent)
            report(stage, percent)

        return both

    return replace(executor, renderer=Hooked(), helper=Hooked(), shutdown=Shutdown())


def once(stage: Stage, act: Callable[[], object], number: int = 1) -> Hook:
    """Return a hook that acts at one report of a stage."""
    seen = 0

    def hook(reported: Stage, _percent: float) -> None:
        nonlocal seen
        seen += reported is stage
        if reported is stage and seen == number:
            act()

    return hook


def video(store: Store, objects: Objects, job_id: UUID, folder: Path) -> bytes:
    job = store.jobs.get(TENANT, job_id)
    assert job.result_key is not None, job
    objects.get(job.result_key, folder / "result.mp4", limit_bytes=10**9)
    # The mark names the job; everything else must be equal.
    return (folder / "result.mp4").read_bytes().replace(of_job(job.id, job.created_at).encode(), b"")


@pytest.fixture(scope="module")
def made() -> list[bytes]:
    """The video that `whole` made for the first test that needs it."""
    return []


@pytest.fixture
def whole(
    store: Store, objects: Objects, worker: RenderExecutor, long_job: NewJob, tmp_path: Path, made: list[bytes]
) -> bytes:
    """The video of the same job by one worker."""
    if not made:
        job = store.jobs.insert(TENANT, long_job)
        assert worker.run_next()
        made.append(video(store, objects, job.id, tmp_path))
    return made[0]


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the segments in the order in which any worker began to encode them."""
    numbers: list[int] = []
    encode = pipeline.mux.encode_segment

    def spy(frames: Any, width: int, height: int, path: Path, *rest: Any) -> int:
        numbers.append(int(path.stem.rpartition("-")[2]))
        return encode(frames, width, height, path, *rest)

    monkeypatch.setattr(pipeline.mux, "encode_segment", spy)
    return numbers


def help_now(helper: RenderExecutor) -> bool:
    """Let a worker look for work until it gets a share, and return whether the share succeeded.

    A claim skips a job whose row is being written, here by the owner's heartbeat or by the store of a segment.
    """
    count = "SELECT count(*) FROM shares"
    before = column(helper.store, count)
    for _ in range(1000):
        worked = helper.run_next()
        if column(helper.store, count) != before:
            return worked
    raise AssertionError("no share was claimed")


def shares(store: Store) -> list[str | None]:
    assert column(store, "SELECT token FROM shares WHERE ended_at IS NULL") == []
    return column(store, "SELECT cause FROM shares ORDER BY started_at")


def test_two_workers_give_the_bytes_of_one(
    store: Store,
    objects: Objects,
    owner: RenderExecutor,
    helper: RenderExecutor,
    whole: bytes,
    long_job: NewJob,
    tmp_path: Path,
    rendered: list[int],
) -> None:
    job = store.jobs.insert(TENANT, long_job)
    assert with_hook(owner, once(Stage.RENDERING, lambda: help_now(helper), 2)).run_next()
    assert video(store, objects, job.id, tmp_path) == whole
    # Each segment once: the owner the first ones and the last, the helper what is between.
    assert sorted(rendered) == list(range(SEGMENTS))
    assert shares(store) == [None]
    (attempt,) = store.jobs.attempts(TENANT, job.id)
    (helped_s,) = column(store, "SELECT gpu_s FROM shares")
    assert store.jobs.get(TENANT, job.id).gpu_s == pytest.approx(attempt.gpu_s + helped_s)
    assert helped_s > 0
    assert not helper.run_next()


def test_a_due_job_ends_a_share_after_its_segment(
    store: Store,
    owner: RenderExecutor,
    helper: RenderExecutor,
    long_job: NewJob,
    ready: tuple[UUID, UUID],
    rendered: list[int],
) -> None:
    job = store.jobs.insert(TENANT, long_job)
    short = NewJob(portrait_upload_id=ready[0], speech_upload_id=ready[1], options=long_job.options)
    sent: list[UUID] = []

    def send() -> None:
        store.keys.create("other")
        sent.append(store.jobs.insert(TENANT, short).id)

    helping = with_hook(helper, once(Stage.RENDERING, send, 2), helps=True)
    states: list[JobState] = []
    of_helper: list[int] = []

    def help_then_read() -> None:
        before = len(rendered)
        assert help_now(helping)
        of_helper.extend(rendered[before:])
        states.append(store.jobs.get(TENANT, sent[0]).state)

    assert with_hook(owner, once(Stage.RENDERING, help_then_read, 2)).run_next()
    assert states == [JobState.SUCCEEDED]
    assert store.jobs.get(TENANT, job.id).state is JobState.SUCCEEDED
    # The helper rendered one segment of the long job, then the short one.
    assert 0 < of_helper[0] < SEGMENTS - 1
    assert of_helper[1:] == [0, 1, 2, 3, 4]
    assert shares(store) == [None]


def test_a_killed_helper_delays_its_segment_only(
    store: Store,
    objects: Objects,
    owner: RenderExecutor,
    helper: RenderExecutor,
    whole: bytes,
    long_job: NewJob,
    tmp_path: Path,
    rendered: list[int],
) -> None:
    job = store.jobs.insert(TENANT, long_job)

    def kill() -> None:
        raise KilledError

    dying = with_hook(helper, once(Stage.RENDERING, kill, 3), helps=True)

    def help_and_die() -> None:
        with pytest.raises(KilledError):
            help_now(dying)
        # As after twenty seconds.
        change(store, "UPDATE shares SET lease_expires_at = now() - interval '1 s'")
        assert store.shares.end_expired() == 1

    assert with_hook(owner, once(Stage.RENDERING, help_and_die, 2)).run_next()
    assert video(store, objects, job.id, tmp_path) == whole
    # What the helper had stored is not rendered again, what it was rendering is.
    assert len(rendered) <= SEGMENTS + 1
    assert shares(store) == [Cause.WORKER_LOST]
    (attempt,) = store.jobs.attempts(TENANT, job.id)
    assert attempt.cause is None


def test_a_killed_owner_is_followed_by_its_helper(
    store: Store,
    objects: Objects,
    owner: RenderExecutor,
    helper: RenderExecutor,
    whole: bytes,
    long_job: NewJob,
    tmp_path: Path,
    rendered: list[int],
) -> None:
    job = store.jobs.insert(TENANT, long_job)
    helping = with_hook(helper, once(Stage.RENDERING, lambda: expire(store), 3), helps=True)
    killed = with_hook(owner, once(Stage.RENDERING, lambda: help_now(helping), 2))
    # The owner learns at its next report that it has lost the job, which the helper has finished.
    assert killed.run_next()
    assert video(store, objects, job.id, tmp_path) == whole
    causes = [attempt.cause for attempt in store.jobs.attempts(TENANT, job.id)]
    assert causes == [Cause.WORKER_LOST, None]
    # At most the segment that the owner was encoding is rendered again.
    assert set(rendered) == set(range(SEGMENTS))
    assert Counter(rendered) - Counter(range(SEGMENTS)) <= Counter([0])
    assert shares(store) == [None]


def test_a_failed_share_is_no_failure_of_the_job(
    store: Store,
    objects: Objects,
    owner: RenderExecutor,
    helper: RenderExecutor,
    whole: bytes,
    long_job: NewJob,
    tmp_path: Path,
) -> None:
    job = store.jobs.insert(TENANT, long_job)

    def fail() -> None:
        raise EncoderFailedError("x264 crashed")

    failing = with_hook(helper, once(Stage.RENDERING, fail, 3), helps=True)

    def help_twice() -> None:
        assert not help_now(failing)
        # It does not help with this job again.
        assert store.shares.claim(helper.worker, 20, helper.helper.version, presets=PRESETS) is None  # type: ignore[union-attr]

    assert with_hook(owner, once(Stage.RENDERING, help_twice, 2)).run_next()
    assert video(store, objects, job.id, tmp_path) == whole
    assert shares(store) == [Cause.DEFECT]
    assert store.workers.read(helper.health.worker)[0] == 1
    (attempt,) = store.jobs.attempts(TENANT, job.id)
    assert attempt.cause is None


def test_a_stopped_helper_keeps_its_segment(
    store: Store, owner: RenderExecutor, helper: RenderExecutor, long_job: NewJob, rendered: list[int]
) -> None:
    job = store.jobs.insert(TENANT, long_job)

    def stop() -> None:
        stopping.shutdown.request()

    stopping = with_hook(helper, once(Stage.RENDERING, stop, 2), helps=True)
    assert with_hook(owner, once(Stage.RENDERING, lambda: help_now(stopping), 2)).run_next()
    assert store.jobs.get(TENANT, job.id).state is JobState.SUCCEEDED
    assert sorted(rendered) == list(range(SEGMENTS))
    assert shares(store) == [Cause.SHUTDOWN]


def test_a_cancelled_job_stops_its_helper(
    store: Store, owner: RenderExecutor, helper: RenderExecutor, long_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dubline.worker.runtime.progress.PERIOD_S", 0.0)
    job = store.jobs.insert(TENANT, long_job)
    cancelling = with_hook(helper, once(Stage.RENDERING, lambda: store.jobs.cancel(TENANT, job.id), 2), helps=True)
    assert with_hook(owner, once(Stage.RENDERING, lambda: help_now(cancelling), 2)).run_next()
    assert store.jobs.get(TENANT, job.id).state is JobState.CANCELLED
    assert column(store, "SELECT number FROM checkpoints WHERE kind = 'segment'") == []
    assert shares(store) == [None]


def test_a_short_job_is_not_shared(
    store: Store, owner: RenderExecutor, helper: RenderExecutor, long_job: NewJob, ready: tuple[UUID, UUID]
) -> None:
    short = NewJob(portrait_upload_id=ready[0], speech_upload_id=ready[1], options=long_job.options)
    store.jobs.insert(TENANT, short)
    helped: list[bool] = []
    assert with_hook(owner, once(Stage.RENDERING, lambda: helped.append(helper.run_next()), 2)).run_next()
    assert helped == [False]
    assert column(store, "SELECT shared_segments FROM jobs") == [None]
