# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import av
import pytest
from benchmarks.speed import attempts
from prometheus_client import REGISTRY
from tests.integration.worker.conftest import expire

from dubline.options.render import MotionControls, RenderOptions
from dubline.orchestration.domain.errors import EncoderFailedError
from dubline.orchestration.domain.jobs import JobState, NewJob, Stage
from dubline.orchestration.storage.objects import Objects
from dubline.worker.rendering import pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.settings import BucketSettings
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.job import Rendered, RenderJob

Ready = tuple[UUID, UUID]


@pytest.fixture
def job_id(store: Store, tenant: str, ready: Ready) -> UUID:
    return store.jobs.insert(
        tenant, NewJob(portrait_upload_id=ready[0], speech_upload_id=ready[1], options=RenderOptions(seed=3))
    ).id


def fetched(objects: Objects, key: str | None, folder: Path) -> bytes:
    assert key is not None
    objects.get(key, folder / "result.mp4", limit_bytes=10**9)
    return (folder / "result.mp4").read_bytes()


#: Label of every worker without a pool of its own.
POOL: Final = {"pool": "default"}


def counted(name: str, **labels: str) -> float:
    """Return a counter of the workers in this process."""
    return REGISTRY.get_sample_value(f"dubline_{name}_total", labels) or 0.0


def test_without_jobs_nothing_is_claimed(store: Store, worker: RenderExecutor) -> None:
    assert not worker.run_next()
    assert store.jobs.queued_counts().claimable == 0


def test_a_job_is_rendered_stored_and_published(
    store: Store,
    objects: Objects,
    tenant: str,
    worker: RenderExecutor,
    job_id: UUID,
    tmp_path: Path,
    scratch_folder: Path,
) -> None:
    assert worker.run_next()
    job = store.jobs.get(tenant, job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.result_duration_s == pytest.approx(1.32)
    assert job.weights_sha256 == "0" * 64
    video = fetched(objects, job.result_key, tmp_path)
    assert len(video) == job.result_size_bytes
    with av.open(io.BytesIO(video)) as file:
        assert (file.streams.video[0].frames, file.streams.video[0].width) == (33, 512)
    (attempt,) = store.jobs.attempts(tenant, job_id)
    assert 0 < attempt.gpu_s == job.gpu_s < 60
    assert list(scratch_folder.iterdir()) == []
    assert not worker.run_next()


def test_the_motion_controls_reach_the_renderer(
    store: Store, tenant: str, worker: RenderExecutor, ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = MotionControls(expression=0.5, head_motion=0.0, blink=2.0, shut_in_silence=0.25)
    store.jobs.insert(
        tenant, NewJob(portrait_upload_id=ready[0], speech_upload_id=ready[1], options=RenderOptions(controls=chosen))
    )
    seen: list[MotionControls] = []
    real = pipeline.Renderer.run

    def spy(renderer: pipeline.Renderer, job: RenderJob, *rest: Any) -> Rendered:
        seen.append(job.options.controls)
        return real(renderer, job, *rest)

    monkeypatch.setattr(pipeline.Renderer, "run", spy)
    assert worker.run_next()
    assert seen == [chosen]


def test_a_failing_encoder_is_retried_with_its_code(
    store: Store, tenant: str, worker: RenderExecutor, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise EncoderFailedError("ffmpeg stopped with exit code 1: no space")

    monkeypatch.setattr(pipeline.mux, "join", fail)
    assert worker.run_next()
    assert store.jobs.get(tenant, job_id).state is JobState.RETRYING
    (attempt,) = store.jobs.attempts(tenant, job_id)
    assert (attempt.error_code, attempt.error_detail) == (
        "encoder_failed",
        "ffmpeg stopped with exit code 1: no space",
    )


def test_a_defect_is_retried_and_its_message_is_not_shown(
    store: Store, tenant: str, worker: RenderExecutor, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("/etc/secret")

    monkeypatch.setattr(pipeline.mux, "join", fail)
    assert worker.run_next()
    job = store.jobs.get(tenant, job_id)
    assert job.state is JobState.RETRYING
    (attempt,) = store.jobs.attempts(tenant, job_id)
    assert attempt.error_code == "internal"
    assert "secret" not in (attempt.error_detail or "")


def test_a_portrait_changed_after_its_probe_fails_the_job(
    store: Store,
    objects: Objects,
    tenant: str,
    worker: RenderExecutor,
    ready: Ready,
    job_id: UUID,
    bucket: BucketSettings,
    tmp_path: Path,
) -> None:
    upload = store.uploads.get(tenant, ready[0])
    (tmp_path / "other").write_bytes(b"x" * upload.size_bytes)
    objects.delete_many([upload.object_key])
    Objects(bucket).put(tmp_path / "other", upload.object_key, "image/jpeg")
    assert worker.run_next()
    job = store.jobs.get(tenant, job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, "upload_missing")
    assert "changed" in (job.error_detail or "")


def test_a_lost_lease_ends_the_attempt_and_the_next_succeeds(
    store: Store,
    objects: Objects,
    tenant: str,
    worker: RenderExecutor,
    job_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lease expires during the first attempt; the second finishes the job."""
    join = pipeline.mux.join

    def lose_the_lease(*arguments: object) -> None:
        assert expire(store) == 1
        monkeypatch.setattr(pipeline.mux, "join", join)
        join(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline.mux, "join", lose_the_lease)
    lost, succeeded = (
        counted("worker_leases_lost"),
        counted("worker_attempts", **POOL, outcome="succeeded", cause="none"),
    )
    assert worker.run_next()
    assert counted("worker_leases_lost") == lost + 1
    assert store.jobs.get(tenant, job_id).state is JobState.RETRYING
    assert worker.run_next()
    assert counted("worker_attempts", **POOL, outcome="succeeded", cause="none") == succeeded + 1
    job = store.jobs.get(tenant, job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.result_key is not None
    assert objects.size_bytes(job.result_key) == job.result_size_bytes
    assert [attempt.number for attempt in store.jobs.attempts(tenant, job_id)] == [1, 2]


def test_progress_is_written_while_the_job_runs(
    store: Store, tenant: str, worker: RenderExecutor, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    join = pipeline.mux.join

    def spy(*arguments: object) -> None:
        job = store.jobs.get(tenant, job_id)
        seen.append((job.state, job.stage, job.progress_percent))
        join(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline.mux, "join", spy)
    assert worker.run_next()
    assert seen == [(JobState.RUNNING, Stage.MUXING, pipeline.RENDERED_PERCENT)]


def test_attempts_are_counted_as_they_are_recorded(
    store: Store, tenant: str, worker: RenderExecutor, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise EncoderFailedError("ffmpeg stopped with exit code 1: no space")

    preset = store.jobs.get(tenant, job_id).options.preset
    before = counted("worker_claims", **POOL, preset=preset), counted("worker_device_seconds", **POOL, preset=preset)
    retried = counted("worker_attempts", **POOL, outcome="retried", cause="defect")
    monkeypatch.setattr(pipeline.mux, "join", fail)
    assert worker.run_next()
    (attempt,) = store.jobs.attempts(tenant, job_id)
    assert (attempt.outcome, attempt.cause) == ("retried", "defect")
    assert counted("worker_attempts", **POOL, outcome="retried", cause="defect") == retried + 1
    assert counted("worker_claims", **POOL, preset=preset) == before[0] + 1
    assert counted("worker_device_seconds", **POOL, preset=preset) == pytest.approx(before[1] + attempt.gpu_s)


def test_the_benchmark_of_overhead_times_the_parts_of_an_attempt(
    store: Store, tenant: str, worker: RenderExecutor, job_id: UUID
) -> None:
    parts = attempts.attempt(worker)
    assert set(parts) == {"wall", "processor", "claim", "fetch", "upload", "progress", "finish"}
    assert parts["claim"] + parts["fetch"] + parts["upload"] + parts["finish"] < parts["wall"]
    assert store.jobs.get(tenant, job_id).state is JobState.SUCCEEDED
