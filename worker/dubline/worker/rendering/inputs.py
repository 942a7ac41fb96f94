"""Brings the two files of a job from the bucket into its scratch folder; checks that they are as probed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dubline.framing.face import FaceBox
from dubline.orchestration.domain.errors import UploadMissingError
from dubline.orchestration.domain.jobs import Cause
from dubline.worker.media.container import BY_MEDIA_TYPE
from dubline.worker.rendering.job import RenderJob

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dubline.orchestration.domain.leases import Lease
    from dubline.orchestration.domain.uploads import Upload, UploadFacts
    from dubline.orchestration.storage.objects import Objects


def fetch(objects: Objects, lease: Lease, scratch: Path, report: Callable[[], None]) -> RenderJob:
    """Fetch what a lease's job is made from.

    Args:
        objects: the bucket.
        lease: its uploads are ready, with facts.
        scratch: where to put the files.
        report: called while they come; may raise to stop.

    Raises:
        UploadMissingError: an object is gone, or is no longer what was probed.
        StorageUnavailableError: the bucket does not answer.
    """
    face = _file(objects, lease.portrait, scratch / "portrait", report)
    voice = _file(objects, lease.speech, scratch / "speech", report)
    if face.face_box is None or face.width_px is None or face.height_px is None or voice.duration_s is None:
        raise RuntimeError("an upload is ready without its facts")
    return RenderJob(
        portrait=scratch / "portrait",
        portrait_px=face.width_px * face.height_px,
        face=FaceBox(*face.face_box),
        speech=scratch / "speech",
        container=BY_MEDIA_TYPE[voice.media_type],
        duration_s=voice.duration_s,
        options=lease.options,
        # Each attempt that ran out of memory asks the next one for less.
        halvings=lease.charged.get(Cause.OUT_OF_MEMORY, 0),
    )


def _file(objects: Objects, upload: Upload, path: Path, report: Callable[[], None]) -> UploadFacts:
    if upload.facts is None:
        raise RuntimeError("an upload is ready without its facts")
    objects.get(upload.object_key, path, limit_bytes=upload.facts.size_bytes, report=report)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != upload.facts.sha256:
            raise UploadMissingError(
                f"The {upload.kind.value} changed after it was checked. Upload it again and submit a new job."
            )
    return upload.facts
