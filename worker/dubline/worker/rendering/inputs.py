"""Downloads the two files of a job and compares them with what the probe found."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dubline.framing.face import FaceBox
from dubline.orchestration.domain.errors import UploadMissingError
from dubline.orchestration.domain.jobs import Cause
from dubline.worker.media import mark
from dubline.worker.media.container import BY_MEDIA_TYPE
from dubline.worker.rendering.job import RenderJob

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dubline.orchestration.domain.leases import Lease
    from dubline.orchestration.domain.uploads import Upload, UploadFacts
    from dubline.orchestration.storage.objects import Objects


def fetch(objects: Objects, lease: Lease, scratch: Path, report: Callable[[], None]) -> RenderJob:
    """Download the portrait and the speech of a job.

    Args:
        objects: the bucket.
        lease: of the job; both uploads are ready and have facts.
        scratch: folder for the files.
        report: called during the download; may raise to stop.

    Raises:
        UploadMissingError: an object does not exist, or has changed since the probe.
        StorageUnavailableError: the bucket is unavailable.
    """
    portrait = _download(objects, lease.portrait, scratch / "portrait", report)
    speech = _download(objects, lease.speech, scratch / "speech", report)
    width_px, height_px, duration_s = portrait.width_px, portrait.height_px, speech.duration_s
    faces, index = portrait.known_faces, lease.options.face_index or 0
    if index >= len(faces) or width_px is None or height_px is None or duration_s is None:
        raise RuntimeError("an upload is ready without its facts")
    return RenderJob(
        portrait=scratch / "portrait",
        portrait_px=width_px * height_px,
        face=FaceBox(*faces[index].box),
        tilt_deg=faces[index].tilt_deg,
        speech=scratch / "speech",
        container=BY_MEDIA_TYPE[speech.media_type],
        duration_s=duration_s,
        options=lease.options,
        weights=lease.weights,
        # Half the batch for each earlier attempt that ran out of memory.
        halvings=lease.charged.get(Cause.OUT_OF_MEMORY, 0),
        mark=mark.of_job(lease.job_id, lease.accepted_at),
    )


def _download(objects: Objects, upload: Upload, path: Path, report: Callable[[], None]) -> UploadFacts:
    if upload.facts is None:
        raise RuntimeError("an upload is ready without its facts")
    objects.get(upload.object_key, path, limit_bytes=upload.facts.size_bytes, report=report)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != upload.facts.sha256:
            raise UploadMissingError(
                f"The {upload.kind.value} changed after it was checked. Upload it again and submit a new job."
            )
    return upload.facts
