"""Benchmark of one long job over several workers: `python -m benchmarks.sharing [--seconds 600] [--segment 2]`.

Starts a PostgreSQL and an S3 server, and renders one job by one worker, then by two and by three. Executors, rows,
leases and checkpoints are those of the product. The renderer waits for a fixed time instead of computing, because
workers on one machine would take processors from each other: so the figures contain what sharing itself costs, and not
the speed of networks. An idle worker polls as often, in segments, as one with the shipped poll of 5 s where a segment
takes 14 s.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

import structlog
from benchmarks.database import LEASE_S

from dubline.embedded.stack import Stack
from dubline.options.output import exit_if_unread
from dubline.orchestration.database.store import Store, connections
from dubline.orchestration.domain.checkpoints import CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.jobs import JobState, NewJob, Stage
from dubline.orchestration.domain.uploads import UploadFacts, UploadKind
from dubline.orchestration.settings import BucketSettings, DatabaseSettings
from dubline.orchestration.storage.objects import Objects
from dubline.worker.executors.health import Health
from dubline.worker.executors.render import RenderExecutor
from dubline.worker.rendering.job import Rendered
from dubline.worker.runtime.liveness import LivenessFile
from dubline.worker.runtime.shutdown import Shutdown
from dubline.worker.settings import LeaseSettings

if TYPE_CHECKING:
    from uuid import UUID

    from dubline.worker.rendering.checkpoints import Checkpoints
    from dubline.worker.rendering.job import RenderJob, Report

TENANT: Final = "benchmark"
SEGMENT_S: Final = 4.8
#: Share of sampling, preparation and muxing in the time of one worker, as `pipeline.SAMPLED_PERCENT`.
SAMPLING: Final = 0.08
#: Poll of an idle worker in segments: 5 s of 14 s.
POLL: Final = 0.36
#: Preparation of a helper in segments: files, portrait, source.
JOINING: Final = 0.2
VERSION: Final = "0" * 64
BYTES: Final = b"x"
#: A segment of 4.8 s has about one megabyte.
SEGMENT_BYTES: Final = 1_000_000
STEP_S: Final = 0.05


@dataclass(frozen=True)
class WaitingRenderer:
    """Waits as long as a renderer would take.

    Args:
        count: segments of the video.
        segment_s: time of one.
    """

    count: int
    segment_s: float
    version: str = VERSION

    def run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> Rendered:
        """Sample, render and join."""
        self._begin(checkpoints)
        self._wait(SAMPLING * self.count * self.segment_s, report, Stage.SAMPLING)
        motion = scratch / "motion"
        motion.write_bytes(BYTES)
        checkpoints.keep(CheckpointKind.MOTION, 0, motion)
        self._render(scratch, report, checkpoints)
        for number in range(self.count):
            path = scratch / str(number)
            if not path.exists() and not checkpoints.fetch(CheckpointKind.SEGMENT, number, path):
                raise SystemExit(f"segment {number} was not stored")
        return Rendered(path=scratch / "0", duration_s=job.duration_s)

    def help(self, _job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> None:
        """Render segments of another worker's job."""
        self._begin(checkpoints)
        self._wait(JOINING * self.segment_s, report, Stage.PREPARING)
        self._render(scratch, report, checkpoints)

    def _begin(self, checkpoints: Checkpoints) -> None:
        checkpoints.begin(
            RenderFingerprint(
                weights_sha256=VERSION, render_batch=8, segment_frames=120, encoder_threads=2, renderer_sha256=VERSION
            )
        )

    def _render(self, scratch: Path, report: Report, checkpoints: Checkpoints) -> None:
        while True:
            for number in checkpoints.missing(self.count):
                self._wait(self.segment_s, report, Stage.RENDERING)
                path = scratch / str(number)
                path.write_bytes(BYTES * SEGMENT_BYTES)
                if number + 1 < self.count:
                    checkpoints.keep(CheckpointKind.SEGMENT, number, path)
            if checkpoints.settled(self.count):
                return

    def _wait(self, seconds: float, report: Report, stage: Stage) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            report(stage, 0.0)
            time.sleep(min(left, STEP_S))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the speech")
    parser.add_argument("--segment", type=float, default=2.0, help="seconds that a segment takes")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    renderer = WaitingRenderer(max(1, round(options.seconds / SEGMENT_S)), options.segment)
    with ExitStack() as opened:
        stack = Stack()
        opened.callback(stack.stop)
        stack.start(only=("initdb", "database", "bucket", "prepare"))
        store = opened.enter_context(
            Store(connections.create(DatabaseSettings.model_validate({"url": stack.environ["DUBLINE_DATABASE_URL"]})))
        )
        bucket = {name: stack.environ[f"DUBLINE_BUCKET_{name.upper()}"] for name in ("name", "endpoint_url")}
        objects = Objects(BucketSettings.model_validate(bucket | {"access_key": "test", "secret_key": "test"}))
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        store.keys.create(TENANT)
        row = _row(store, objects, folder, options.seconds)
        alone_s = 0.0
        for workers in (1, 2, 3):
            took_s = _timed(store, objects, folder, renderer, row, workers)
            alone_s = alone_s or took_s
            print(
                f"workers={workers} segments={renderer.count} seconds={took_s:.1f} of_one_worker={took_s / alone_s:.2f}"
            )


def _row(store: Store, objects: Objects, folder: Path, speech_s: float) -> NewJob:
    """Store two files that count as checked; return a job that names them."""
    (folder / "file").write_bytes(BYTES)
    facts = {"media_type": "audio/wav", "size_bytes": len(BYTES), "sha256": hashlib.sha256(BYTES).hexdigest()}
    of_kind = {
        UploadKind.PORTRAIT: UploadFacts(**facts, width_px=64, height_px=64, face_box=(8, 8, 56, 56)),  # type: ignore[arg-type]
        UploadKind.SPEECH: UploadFacts(**facts, duration_s=speech_s),  # type: ignore[arg-type]
    }
    ids: list[UUID] = []
    for kind, known in of_kind.items():
        upload = store.uploads.insert(TENANT, kind, "application/octet-stream", len(BYTES))
        objects.put(folder / "file", upload.object_key, "application/octet-stream")
        store.uploads.mark_probing(TENANT, upload.id)
        lease = store.uploads.claim("prober", LEASE_S)
        if lease is None:
            raise SystemExit("the upload cannot be claimed")
        ids.append(store.uploads.accept(lease, known).id)
    return NewJob(portrait_upload_id=ids[0], speech_upload_id=ids[1])


def _timed(  # noqa: PLR0913, PLR0917 - what a worker needs, and how many there are
    store: Store, objects: Objects, folder: Path, renderer: WaitingRenderer, row: NewJob, workers: int
) -> float:
    """Render one job by some workers; return the seconds from its claim to its end."""
    done = Event()

    def work(number: int) -> None:
        executor = _executor(store, objects, folder, renderer, f"{workers}-{number}:1/1")
        while not done.is_set():
            if not executor.run_next():
                done.wait(POLL * renderer.segment_s)

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work, number) for number in range(workers)]
        job_id = store.jobs.insert(TENANT, row).id
        try:
            while (job := store.jobs.get(TENANT, job_id)).state is not JobState.SUCCEEDED:
                if job.error_code or any(future.done() for future in futures):
                    raise SystemExit(f"a worker failed: {job}")
                time.sleep(STEP_S)
        finally:
            done.set()
    if job.started_at is None or job.finalized_at is None:
        raise SystemExit("the job has no times")
    return (job.finalized_at - job.started_at).total_seconds()


def _executor(store: Store, objects: Objects, folder: Path, renderer: WaitingRenderer, name: str) -> RenderExecutor:
    scratch = folder / name.partition(":")[0]
    scratch.mkdir()
    leases, liveness = LeaseSettings(), LivenessFile(None)
    health = Health(
        counts=store.workers,
        worker=name,
        self_test=lambda _folder, _report: None,
        folder=scratch,
        leases=leases,
        liveness=liveness,
    )
    return RenderExecutor(
        store=store,
        objects=objects,
        leases=leases,
        folder=scratch,
        worker=name,
        shutdown=Shutdown(),
        liveness=liveness,
        health=health,
        renderer=renderer,
        helper=renderer,
    )


if __name__ == "__main__":
    with exit_if_unread():
        main()
