"""A worker process with the released tiny networks and short segments, which can be paused within a segment.

Run as `python tiny.py`. While the folder in the variable GATES contains a file `hold`, the second segment waits after
its second batch, and a file `held` is written.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dubline.worker import child
from dubline.worker.__main__ import serve
from dubline.worker.executors import factory
from dubline.worker.rendering import motion
from dubline.worker.rendering.motion import PreparedSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.models.stage1.autoencoder import Fields

SEGMENT_FRAMES = 16
STEP_S = 0.02
fields = PreparedSource.fields


def held(self: PreparedSource, motion: Path, span: range, batch: int) -> Iterator[Fields]:
    """Compute as the original, and wait while `hold` exists."""
    gates = Path(os.environ["GATES"])
    for number, batch_fields in enumerate(fields(self, motion, span, batch)):
        if (span.start, number) == (SEGMENT_FRAMES, 1):
            (gates / "held").touch()
            while (gates / "hold").exists():
                time.sleep(STEP_S)
        yield batch_fields


if __name__ == "__main__":
    if len(sys.argv) > 1:
        motion.SEGMENT_FRAMES = SEGMENT_FRAMES
        PreparedSource.fields = held  # type: ignore[method-assign]
        sys.exit(child.work(factory.renderer, int(sys.argv[1]), Path(sys.argv[2])))
    sys.exit(serve("render", [sys.executable, __file__]))
