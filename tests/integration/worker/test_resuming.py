# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
"""Interrupted attempts and their continuation from checkpoints, with stub networks."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import torch
from structlog.testing import capture_logs
from tests.integration.orchestration.rows import change
from tests.unit.worker import stub_networks

from dubline.options.render import OutputOptions, RenderOptions
from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind
from dubline.orchestration.domain.errors import DeviceFailedError, StorageUnavailableError
from dubline.orchestration.domain.jobs import Cause, Job, JobState, NewJob, Stage
from dubline.orchestration.storage.objects import Objects
from dubline.worker.media.mark import of_job
from dubline.worker.rendering import pipeline
from dubline.worker.rendering.stored_checkpoints import StoredCheckpoints
from dubline.worker.runtime.shutdown import Shutdown

if TYPE_CHECKING:
    from dubline.models.stage1.autoencoder import Fields
    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease
    from dubline.worker.executors.render import RenderExecutor

Ready = tuple[UUID, UUID]
Hook = Callable[[Stage, float], None]
FIELDS = stub_networks.StubAutoencoder.fields
#: Frames of a quarter of the pixels take less time to encode.
SMALL = RenderOptions(output=OutputOptions(height_px=256))


def small(ready: Ready) -> NewJob:
    return NewJob(portrait_upload_id=ready[0], speech_upload_id=ready[1], options=SMALL)


@pytest.fixture
def job_id(store: Store, tenant: str, ready: Ready, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """A job of three segments, 16, 16 and 1 frame."""
    monkeypatch.setattr(pipeline.motion, "SEGMENT_FRAMES", 16)
    monkeypatch.setattr(pipeline.device, "CPU_FRAMES", (8,))
    return store.jobs.insert(tenant, small(ready)).id


def with_hook(worker: RenderExecutor, hook: Hook) -> RenderExecutor:
    """Copy a worker, with a shutdown of its own, and call `hook` before each of its reports.

    When half of the second segment is rendered, the first one is stored, which takes place meanwhile.
    """

    class HookedRenderer:
        def run(self, job: Any, scratch: Path, report: Hook, checkpoints: StoredCheckpoints) -> Any:
            stored, keep = Event(), StoredCheckpoints.keep

            def kept(*arguments: Any) -> None:
                keep(*arguments)
                if CheckpointKind.SEGMENT in arguments:
                    stored.set()

            def hooked_report(stage: Stage, percent: float) -> None:
                if in_second_segment(percent):
                    assert stored.wait(20)
                hook(stage, percent)
                report(stage, percent)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(StoredCheckpoints, "keep", kept)
                return worker.renderer.run(job, scratch, hooked_report, checkpoints)

    return replace(worker, renderer=HookedRenderer(), shutdown=Shutdown())


def in_second_segment(percent: float) -> bool:
    """Return whether half of the second segment is rendered."""
    return percent > 60


def video(store: Store, objects: Objects, tenant: str, job_id: UUID, folder: Path) -> tuple[Job, bytes]:
    job = store.jobs.get(tenant, job_id)
    assert job.result_key is not None, job
    objects.get(job.result_key, folder / "result.mp4", limit_bytes=10**9)
    # The mark names the job; everything else must be equal.
    return job, (folder / "result.mp4").read_bytes().replace(of_job(job.id, job.created_at).encode(), b"")


@pytest.fixture(scope="module")
def made() -> list[bytes]:
    """The video that `whole` made for the first test that needs it."""
    return []


@pytest.fixture
def whole(
    store: Store,
    objects: Objects,
    tenant: str,
    worker: RenderExecutor,
    ready: Ready,
    job_id: UUID,
    tmp_path: Path,
    made: list[bytes],
) -> bytes:
    """The video of an uninterrupted job with the same inputs."""
    if made:
        return made[0]
    uninterrupted = store.jobs.insert(tenant, small(ready)).id
    held = store.leases.claim("other", 600)
    assert held is not None
    assert held.job_id == job_id
    assert worker.run_next()
    store.leases.release(held)
    made.append(video(store, objects, tenant, uninterrupted, tmp_path)[1])
    return made[0]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the checkpoints that are downloaded."""
    names: list[str] = []
    get = Objects.get

    def spy(self: Objects, key: str, *rest: Any, **named: Any) -> int:
        if key.startswith("checkpoints/"):
            names.append(key.rpartition("/")[2])
        return get(self, key, *rest, **named)

    monkeypatch.setattr(Objects, "get", spy)
    return names


@pytest.mark.parametrize("forced", [False, True])
def test_a_stopped_job_is_released_uncharged_and_resumed(
    store: Store,
    objects: Objects,
    tenant: str,
    worker: RenderExecutor,
    whole: bytes,
    job_id: UUID,
    tmp_path: Path,
    fetched: list[str],
    forced: bool,
) -> None:
    def stop(_stage: Stage, percent: float) -> None:
        if in_second_segment(percent):
            (stopping.shutdown.force if forced else stopping.shutdown.request)()

    stopping = with_hook(worker, stop)
    with capture_logs() as logged:
        assert stopping.run_next()
    left = store.jobs.get(tenant, job_id)
    attempt = store.jobs.attempts(tenant, job_id)[-1]
    assert (left.state, attempt.cause) == (JobState.QUEUED, Cause.SHUTDOWN), logged
    assert attempt.gpu_s > 0
    assert worker.run_next()
    done, made = video(store, objects, tenant, job_id, tmp_path)
    assert made == whole
    # A graceful shutdown finishes the second segment.
    kept = ["motion-000000.npy", "segment-000000.mp4", "segment-000001.mp4"]
    assert fetched == (kept[:2] if forced else kept)
    assert done.gpu_s == pytest.approx(sum(attempt.gpu_s for attempt in store.jobs.attempts(tenant, job_id)))
    assert all(attempt.refused_writes == 0 for attempt in store.jobs.attempts(tenant, job_id))


@pytest.mark.parametrize("stored", [True, False])
def test_a_job_of_another_release_is_rendered_anew(
    store: Store,
    objects: Objects,
    tenant: str,
    worker: RenderExecutor,
    whole: bytes,
    job_id: UUID,
    tmp_path: Path,
    fetched: list[str],
    monkeypatch: pytest.MonkeyPatch,
    stored: bool,
) -> None:
    def stop(_stage: Stage, percent: float) -> None:
        if in_second_segment(percent):
            stopping.shutdown.request()

    stopping = with_hook(worker, stop)
    with monkeypatch.context() as earlier:
        earlier.setattr(pipeline.version, "renderer_sha256", lambda _device: "e" * 64)
        earlier.setattr(stub_networks.StubAutoencoder, "fields", still)
        assert stopping.run_next()
    if not stored:
        # The first release did not store its version.
        change(store, "UPDATE jobs SET renderer_sha256 = NULL WHERE id = :id", id=job_id)
    assert store.jobs.get(tenant, job_id).state is JobState.QUEUED
    assert worker.run_next()
    assert video(store, objects, tenant, job_id, tmp_path)[1] == whole
    assert fetched == []
    # The restart is no failure.
    assert [attempt.cause for attempt in store.jobs.attempts(tenant, job_id)][-2:] == [Cause.SHUTDOWN, None]


def still(
    self: stub_networks.StubAutoencoder, source: stub_networks.StubSource, motion: torch.Tensor, lids: torch.Tensor
) -> Fields:
    """Return fields that move nothing, as another version of the networks' code might."""
    return FIELDS(self, source, torch.zeros_like(motion), lids)


def test_a_graceful_shutdown_interrupts_sampling(
    store: Store, tenant: str, worker: RenderExecutor, job_id: UUID
) -> None:
    seen: list[Stage] = []

    def stop(stage: Stage, _percent: float) -> None:
        seen.append(stage)
        if stage is Stage.SAMPLING:
            stopping.shutdown.request()

    stopping = with_hook(worker, stop)
    assert stopping.run_next()
    assert store.jobs.get(tenant, job_id).state is JobState.QUEUED
    assert seen.count(Stage.SAMPLING) == 1


def test_a_graceful_shutdown_finishes_muxing(store: Store, tenant: str, worker: RenderExecutor, job_id: UUID) -> None:
    def stop(stage: Stage, _percent: float) -> None:
        if stage is Stage.MUXING:
            stopping.shutdown.request()

    stopping = with_hook(worker, stop)
    assert stopping.run_next()
    assert store.jobs.get(tenant, job_id).state is JobState.SUCCEEDED


def test_a_cancelled_job_ends_at_the_next_write(
    store: Store, tenant: str, worker: RenderExecutor, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dubline.worker.runtime.progress.PERIOD_S", 0.0)
    seen: list[float] = []

    def cancel(_stage: Stage, percent: float) -> None:
        seen.append(percent)
        if in_second_segment(percent):
            store.jobs.cancel(tenant, job_id)

    assert with_hook(worker, cancel).run_next()
    assert store.jobs.get(tenant, job_id).state is JobState.CANCELLED
    assert len([percent for percent in seen if in_second_segment(percent)]) == 1
    (attempt,) = store.jobs.attempts(tenant, job_id)
    assert attempt.cause is Cause.CANCELLED
    # A renewal may have been refused before.
    assert attempt.refused_writes in {1, 2}
    assert not worker.run_next()


@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_a_damaged_checkpoint_is_rendered_again(
    store: Store,
    objects: Objects,
    tenant: str,
    worker: RenderExecutor,
    whole: bytes,
    job_id: UUID,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    keep = type(store.leases).save_checkpoint

    def damage_first(self: Any, lease: Lease, checkpoint: Checkpoint) -> None:
        keep(self, lease, checkpoint)
        if (checkpoint.kind, checkpoint.number) == (CheckpointKind.SEGMENT, 0):
            objects.delete_many([checkpoint.object_key])
            if damage == "altered":
                (tmp_path / "other").write_bytes(b"x" * checkpoint.size_bytes)
                objects.put(tmp_path / "other", checkpoint.object_key, "video/mp4")

    def stop(_stage: Stage, percent: float) -> None:
        if in_second_segment(percent):
            stopping.shutdown.force()

    stopping = with_hook(worker, stop)
    with monkeypatch.context() as patch:
        patch.setattr(type(store.leases), "save_checkpoint", damage_first)
        assert stopping.run_next()
    assert worker.run_next()
    assert video(store, objects, tenant, job_id, tmp_path)[1] == whole


@pytest.mark.usefixtures("_memory_is_kept")
def test_too_little_memory_halves_the_batch_once(
    store: Store, tenant: str, worker: RenderExecutor, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def exhaust(_self: object, _source: object, motion: torch.Tensor, _open_lids: object) -> torch.Tensor:
        sizes.append(len(motion))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(stub_networks.StubAutoencoder, "fields", exhaust)
    monkeypatch.setattr("dubline.orchestration.domain.retry.FIRST_DELAY_S", 0.0)
    assert worker.run_next()
    assert store.jobs.get(tenant, job_id).state is JobState.RETRYING
    assert worker.run_next()
    assert list(dict.fromkeys(sizes)) == [8, 4]
    failed = store.jobs.get(tenant, job_id)
    assert (failed.state, failed.error_code) == (JobState.FAILED, "attempts_exhausted")


def test_a_failed_device_is_recorded_and_ends_the_worker(
    store: Store, tenant: str, worker: RenderExecutor, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> torch.Tensor:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(stub_networks.StubAutoencoder, "fields", fail)
    with capture_logs() as logged, pytest.raises(DeviceFailedError):
        worker.run_next()
    (failed,) = [event for event in logged if event["event"] == "attempt_failed"]
    assert "illegal memory access" in failed["reason"]
    assert store.jobs.get(tenant, job_id).state is JobState.RETRYING
    (attempt,) = store.jobs.attempts(tenant, job_id)
    assert (attempt.cause, attempt.error_code) == (Cause.WORKER_LOST, "device_failed")


@pytest.mark.parametrize("place", ["download", "motion", "encoder"])
def test_a_full_disk_is_a_transient_error(
    store: Store, tenant: str, worker: RenderExecutor, job_id: UUID, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/scratch/secret")

    if place == "download":
        monkeypatch.setattr(Objects, "get", full)
    elif place == "motion":
        monkeypatch.setattr(pipeline.motion, "_write_header", full)
    else:
        encode = pipeline.mux.encode_segment
        # The write of ffmpeg itself fails.
        monkeypatch.setattr(
            pipeline.mux,
            "encode_segment",
            lambda frames, width, height, _path, report: encode(frames, width, height, Path("/dev/full"), report),
        )
    assert worker.run_next()
    (attempt,) = store.jobs.attempts(tenant, job_id)
    assert (attempt.cause, attempt.error_code) == (Cause.TRANSIENT, "scratch_full")
    assert "secret" not in (attempt.error_detail or "")


def test_a_job_succeeds_without_stored_checkpoints(
    store: Store, tenant: str, worker: RenderExecutor, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Objects.put

    def refuse(self: Objects, path: Path, key: str, *rest: Any) -> int:
        if key.startswith("checkpoints/"):
            raise StorageUnavailableError
        return put(self, path, key, *rest)

    monkeypatch.setattr(Objects, "put", refuse)
    assert worker.run_next()
    assert store.jobs.get(tenant, job_id).state is JobState.SUCCEEDED


def test_progress_resets_the_charges_for_lost_workers(
    store: Store, tenant: str, worker: RenderExecutor, job_id: UUID
) -> None:
    for _ in range(2):
        store.leases.claim("lost", -1.0)
        store.leases.rescue_expired()

    def fail(_stage: Stage, percent: float) -> None:
        if in_second_segment(percent):
            raise DeviceFailedError

    with pytest.raises(DeviceFailedError):
        with_hook(worker, fail).run_next()
    assert store.jobs.get(tenant, job_id).state is JobState.RETRYING
