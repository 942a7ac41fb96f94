"""Admission of jobs: checks of a new job and of its two uploads."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dubline.options.deadline import DEADLINE_MAX_S, DEADLINE_MIN_S
from dubline.options.point import POINT_MOST_PX
from dubline.options.render import SEED_MAX, RenderOptions, faults_of
from dubline.orchestration.domain.cost import CropSize, crop_size, render_cost_s
from dubline.orchestration.domain.errors import (
    NoSuchFaceError,
    UploadMissingError,
    UploadNotReadyError,
    WrongContentTypeError,
)
from dubline.orchestration.domain.faces import described, face_at
from dubline.orchestration.domain.jobs import CUSTOM_ID_MAX_CHARS, JobState, NewJob
from dubline.orchestration.domain.uploads import Upload, UploadKind, UploadState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from dubline.orchestration.domain.errors import DublineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """An accepted job. It is inserted as queued, or as failed if one of its uploads cannot be used."""

    job: NewJob
    portrait: Upload | None
    """Its upload; None: the tenant has no such upload, and the job does not keep its id. Also for the speech."""
    speech: Upload | None
    options: RenderOptions
    """The options, with a seed, and with the number of the face where a point chose it."""
    speech_s: float = 0.0
    """Seconds of speech; 0 if the job failed."""
    work_s: float | None = None
    """Work (see `domain.cost`); None if the job failed."""
    crop_size: CropSize | None = None
    """None if the job failed."""
    error_code: str | None = None
    error_detail: str | None = None

    @property
    def state(self) -> JobState:
        """State in which the job is inserted."""
        return JobState.QUEUED if self.error_code is None else JobState.FAILED


def faults(rows: Sequence[NewJob]) -> tuple[Mapping[str, object], ...]:
    """Validate new jobs without their uploads.

    Returns:
        One mapping per fault with keys `row` (from 0), `field`, `code` and `detail`.
    """
    uses = Counter(row.custom_id for row in rows if row.custom_id is not None)
    return tuple(fault for number, row in enumerate(rows) for fault in _faults_of(number, row, uses))


def admit(job: NewJob, uploads: Mapping[UUID, Upload]) -> Admission:
    """Admit one job.

    Args:
        job: the new job.
        uploads: uploads of its tenant by id.

    Raises:
        UploadNotReadyError: an upload is still being checked.
    """
    portrait, speech = (uploads.get(upload_id) for upload_id in (job.portrait_upload_id, job.speech_upload_id))
    refusal = _refusal(job.portrait_upload_id, portrait, UploadKind.PORTRAIT)
    refusal = refusal or _refusal(job.speech_upload_id, speech, UploadKind.SPEECH)
    index = _face_index(job, portrait)
    refusal = refusal or _refusal_of_face(job, portrait, index)
    if refusal is not None:
        code, detail = refusal
        return Admission(
            job=job,
            portrait=portrait,
            speech=speech,
            options=_seeded(job.options, 0),
            error_code=code,
            error_detail=detail,
        )
    options = replace(job.options, face_index=index)
    face, sound = (upload.facts if upload else None for upload in (portrait, speech))
    if face is None or sound is None:
        raise RuntimeError("an upload is ready without its facts")
    return Admission(
        job=job,
        portrait=portrait,
        speech=speech,
        options=_seeded(options, seed_of(face.sha256, sound.sha256)),
        speech_s=sound.duration_s or 0.0,
        work_s=render_cost_s(face, sound, options),
        crop_size=crop_size(face, options),
    )


def seed_of(*sha256: str) -> int:
    """Derive the default seed of a job from the hashes of its files.

    A shared default seed would give all jobs of a batch identical head motion. The same files always get the
    same seed, and so the same video.
    """
    return int(hashlib.sha256("".join(sha256).encode()).hexdigest(), 16) % (SEED_MAX + 1)


def _seeded(options: RenderOptions, default: int) -> RenderOptions:
    return options if options.seed is not None else options.with_seed(default)


def _refusal(upload_id: UUID, upload: Upload | None, kind: UploadKind) -> tuple[str, str] | None:
    if upload is None:
        return _code_and_detail(
            UploadMissingError(f"There is no upload {upload_id}. Create it, PUT the file, complete it.")
        )
    if upload.kind is not kind:
        return _code_and_detail(
            WrongContentTypeError(
                f"Upload {upload_id} is a {upload.kind}, but a {kind} is expected. Check the order of the ids."
            )
        )
    if upload.state is UploadState.PROBING:
        raise UploadNotReadyError(
            f"Upload {upload_id} is still being checked. Send the request again when its state is ready or rejected."
        )
    if upload.state is UploadState.PENDING:
        return _code_and_detail(
            UploadMissingError(
                f"The file of upload {upload_id} was not received. PUT the file, then complete the upload."
            )
        )
    if upload.error_code is not None:
        return upload.error_code, upload.error_detail or ""
    return None


def _face_index(job: NewJob, portrait: Upload | None) -> int | None:
    """Return the number of the face that a job chooses; None: it chooses none, or a point outside every face."""
    if job.face is None or portrait is None or portrait.facts is None:
        return job.options.face_index
    return face_at(portrait.facts.known_faces, job.face)


def _refusal_of_face(job: NewJob, portrait: Upload | None, index: int | None) -> tuple[str, str] | None:
    """Refuse a face that was chosen and does not exist or cannot be animated."""
    if portrait is None or portrait.facts is None or (index is None and job.face is None):
        return None
    faces = portrait.facts.known_faces
    if index is None or index >= len(faces):
        chosen = f"face {index}" if job.face is None else f"face at ({job.face.x}, {job.face.y})"
        detail = f"The portrait has no {chosen}. Its faces: {described(faces)}. Choose one of these, or none."
        return _code_and_detail(NoSuchFaceError(detail))
    error = faces[index].error
    return None if error is None else (error.code, f"Face {index} cannot be animated. {error.detail}")


def _code_and_detail(error: DublineError) -> tuple[str, str]:
    return error.code, error.detail


def _faults_of(number: int, row: NewJob, uses: Mapping[str, int]) -> Iterator[Mapping[str, object]]:
    def fault(field: str, code: str, detail: str) -> Mapping[str, object]:
        return {"row": number, "field": field, "code": code, "detail": detail}

    for option, value in faults_of(row.options):
        if option.choices is not None:
            detail = f"There is no {option.label} {value!r}. Use {option.range}."
        else:
            detail = f"The {option.label} is {value}. Use {option.range}."
        yield fault(option.name, option.code, detail)
    if row.face is not None and row.options.face_index is not None:
        yield fault("face", "face_chosen_twice", "The job has both face and face_index. Use one of them.")
    if row.face is not None and not all(0 <= edge <= POINT_MOST_PX for edge in (row.face.x, row.face.y)):
        detail = f"The point ({row.face.x}, {row.face.y}) is in no picture. Use 0 to {POINT_MOST_PX} px."
        yield fault("face", "face_out_of_range", detail)
    if row.deadline_s is not None and not DEADLINE_MIN_S <= row.deadline_s <= DEADLINE_MAX_S:
        detail = f"The deadline is {row.deadline_s} s. Use {DEADLINE_MIN_S:.0f} to {DEADLINE_MAX_S:.0f} seconds."
        yield fault("deadline_s", "deadline_out_of_range", detail)
    if row.custom_id is None:
        return
    if not 1 <= len(row.custom_id) <= CUSTOM_ID_MAX_CHARS or "\x00" in row.custom_id:
        detail = f"A custom_id has 1 to {CUSTOM_ID_MAX_CHARS} characters and no NUL."
        yield fault("custom_id", "invalid_custom_id", detail)
    if uses[row.custom_id] > 1:
        detail = f"The custom_id {row.custom_id!r} is used in {uses[row.custom_id]} rows. Use a different one for each."
        yield fault("custom_id", "duplicate_custom_id", detail)
