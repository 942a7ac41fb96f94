"""A worker process with the released tiny networks and short segments, which can be paused within a segment.

Run as `python tiny.py`. While the folder in the variable GATES contains a file `hold`, the second segment waits before
its first batch. A file `held` says that it has been reached, and that the first segment is stored.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dubline.worker.__main__ import serve

if TYPE_CHECKING:
    from dubline.models.stage1.autoencoder import Fields
    from dubline.worker.rendering.motion import PreparedSource

SEGMENT_FRAMES = 16
STEP_S = 0.02


def work(fd: int, folder: Path) -> int:
    """Run the child, whose second segment waits while `hold` exists; return its exit code."""
    # The parent imports no torch, which takes seconds.
    from dubline.orchestration.domain.checkpoints import CheckpointKind  # noqa: PLC0415
    from dubline.worker import child  # noqa: PLC0415
    from dubline.worker.executors import factory  # noqa: PLC0415
    from dubline.worker.rendering import motion  # noqa: PLC0415
    from dubline.worker.rendering.stored_checkpoints import StoredCheckpoints  # noqa: PLC0415

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
    StoredCheckpoints.keep = kept  # type: ignore[method-assign]
    motion.PreparedSource.fields = held  # type: ignore[method-assign]
    return child.work(factory.renderer, fd, folder)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(work(int(sys.argv[1]), Path(sys.argv[2])))
    sys.exit(serve("render", [sys.executable, __file__]))
