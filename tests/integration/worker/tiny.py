"""A worker process with the released tiny networks and short segments, which can be paused within a segment.

While the folder in the variable GATES contains a file `hold`, the
second segment waits before its first batch. A file `held` says that it has been reached, and that the first segment is
stored.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.chaos.phases import forked_children

from dubline.orchestration.domain.checkpoints import CheckpointKind
from dubline.worker.executors import factory
from dubline.worker.rendering import device, motion, pipeline, warming  # noqa: F401 - once for all children
from dubline.worker.rendering.stored_checkpoints import StoredCheckpoints

if TYPE_CHECKING:
    from dubline.models.stage1.autoencoder import Fields
    from dubline.worker.executors.factory import WorkerContext
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.motion import PreparedSource

SEGMENT_FRAMES = 16
STEP_S = 0.02


def make(context: WorkerContext) -> RenderExecutor:
    """Make the child's executor, whose second segment waits while `hold` exists."""
    gates = Path(os.environ["GATES"])
    fields, keep = motion.PreparedSource.fields, StoredCheckpoints.keep

    def held(self: PreparedSource, path: Path, frames: range) -> Fields:
        if SEGMENT_FRAMES in frames:
            while (gates / "hold").exists():
                if (gates / "kept").exists():
                    (gates / "held").touch()
                time.sleep(STEP_S)
        return fields(self, path, frames)

    def kept(self: StoredCheckpoints, kind: CheckpointKind, number: int, path: Path) -> None:
        (gates / "kept").unlink(missing_ok=True)
        keep(self, kind, number, path)
        if kind is CheckpointKind.SEGMENT:
            (gates / "kept").touch()

    motion.SEGMENT_FRAMES = SEGMENT_FRAMES
    # Two batches a segment.
    device.CPU_FRAMES = (8,)  # type: ignore[misc]
    StoredCheckpoints.keep = kept  # type: ignore[method-assign]
    motion.PreparedSource.fields = held  # type: ignore[method-assign]
    return factory.renderer(context)


def serve() -> int:
    """Run one worker until a signal stops it; return its exit code."""
    return forked_children.serve(make)


if __name__ == "__main__":
    sys.exit(serve())
