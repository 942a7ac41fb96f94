"""A worker process whose renderer only waits: real loop, heartbeat, rows and bucket, no network.

Run as `python light.py`, with GATES naming a folder: segment n ends once a file `n` is in it. A job of seed `POISON`
kills the process that renders it, one of seed `BROKEN` finds its device dead there the first time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dubline.orchestration.domain.checkpoints import RenderFingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.worker.rendering.checkpoints import Checkpoints
    from dubline.worker.rendering.job import Rendered, RenderJob, Report

POISON, BROKEN = 13, 14
SEGMENTS = 3
FINGERPRINT = RenderFingerprint(weights_sha256="1" * 64, render_batch=1, segment_frames=1, encoder_threads=1)
# Between two reports.
STEP_S = 0.02


class LightRenderer:
    """Segments are their numbers; the video is all of them."""

    def __init__(self, gates: Path) -> None:
        self._gates = gates

    def run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> Rendered:
        """Makes one, as slowly as the gates say."""
