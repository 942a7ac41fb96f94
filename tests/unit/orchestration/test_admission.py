from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from dubline.options.deadline import DEADLINE_MAX_S, DEADLINE_MIN_S
from dubline.options.point import POINT_MOST_PX, Point
from dubline.options.render import BY_NAME, SEED_MAX, MotionControls, RenderOptions
from dubline.orchestration.domain.admission import admit, faults
from dubline.orchestration.domain.errors import UploadNotReadyError
from dubline.orchestration.domain.faces import Face, Remark
from dubline.orchestration.domain.jobs import CUSTOM_ID_MAX_CHARS, JobState, NewJob
from dubline.orchestration.domain.uploads import Upload, UploadFacts, UploadKind, UploadState


def upload(kind: UploadKind, state: UploadState = UploadState.READY) -> Upload:
    ready = UploadFacts(media_type="x/y", size_bytes=1, sha256="0" * 64, duration_s=4.5)
    return Upload(
        id=uuid4(),
        tenant="acme",
        kind=kind,
        state=state,
        content_type="x/y",
        size_bytes=1,
        created_at=datetime.now(UTC),
        facts=ready if state is UploadState.READY else None,
    )


MOST = {name.partition(".")[2]: one.most for name, one in BY_NAME.items() if name.startswith("controls.")}
PORTRAIT, SPEECH = upload(UploadKind.PORTRAIT), upload(UploadKind.SPEECH)
JOB = NewJob(portrait_upload_id=PORTRAIT.id, speech_upload_id=SPEECH.id)


def chosen(**options: Any) -> NewJob:
    return replace(JOB, options=RenderOptions(**options))


def known(*uploads: Upload) -> dict[object, Upload]:
    return {upload.id: upload for upload in uploads}


def test_a_job_with_ready_uploads_is_queued_at_the_cost_of_its_speech() -> None:
    admission = admit(JOB, known(PORTRAIT, SPEECH))  # type: ignore[arg-type]
    assert (admission.state, admission.speech_s) == (JobState.QUEUED, 4.5)


def with_faces(*faces: Face) -> Upload:
    facts = UploadFacts(
        media_type="x/y", size_bytes=1, sha256="0" * 64, width_px=90, height_px=90, face_box=(1, 2, 41, 42), faces=faces
    )
    return replace(PORTRAIT, facts=facts)


LONG = UploadFacts(media_type="x/y", size_bytes=1, sha256="0" * 64, duration_s=1000.0)
FACE = Face(box=(1, 2, 41, 42))
COVERED = Face(box=(50, 2, 90, 42), error=Remark("face_occluded", "The mouth is covered."))


@pytest.mark.parametrize("index", [None, 0, 1])
def test_a_face_that_can_be_animated_can_be_chosen(index: int | None) -> None:
    admission = admit(chosen(face_index=index), known(with_faces(FACE, FACE, COVERED), SPEECH))  # type: ignore[arg-type]
    assert (admission.state, admission.options.face_index) == (JobState.QUEUED, index)


def test_a_face_that_does_not_exist_is_refused_with_those_that_do() -> None:
    admission = admit(chosen(face_index=2), known(with_faces(FACE, COVERED), SPEECH))  # type: ignore[arg-type]
    assert (admission.state, admission.error_code) == (JobState.FAILED, "no_such_face")
    assert admission.error_detail is not None
    assert (
        "no face 2. Its faces: 0 at (1, 2) to (41, 42); 1 at (50, 2) to (90, 42), face_occl" in admission.error_detail
    )


def test_a_chosen_face_that_cannot_be_animated_is_refused_with_its_reason() -> None:
    admission = admit(chosen(face_index=1), known(with_faces(FACE, COVERED), SPEECH))  # type: ignore[arg-type]
    assert (admission.error_code, admission.state) == ("face_occluded", JobState.FAILED)
    assert admission.error_detail == "Face 1 cannot be animated. The mouth is covered."


def test_a_portrait_of_an_older_prober_has_one_face() -> None:
    assert admit(chosen(face_index=0), known(with_faces(), SPEECH)).state is JobState.QUEUED  # type: ignore[arg-type]
    assert admit(chosen(face_index=1), known(with_faces(), SPEECH)).error_code == "no_such_face"  # type: ignore[arg-type]


def test_a_point_chooses_a_face_and_is_stored_as_its_number() -> None:
    other = Face(box=(50, 50, 90, 90))
    admission = admit(replace(JOB, face=Point(60, 70)), known(with_faces(FACE, other), SPEECH))  # type: ignore[arg-type]
    assert (admission.state, admission.options.face_index) == (JobState.QUEUED, 1)


def test_a_point_outside_every_face_is_refused_with_the_faces() -> None:
    admission = admit(replace(JOB, face=Point(45, 5)), known(with_faces(FACE, COVERED), SPEECH))  # type: ignore[arg-type]
    assert (admission.state, admission.error_code, admission.options.face_index) == (
        JobState.FAILED,
        "no_such_face",
        None,
    )
    assert "no face at (45, 5). Its faces: 0 at (1, 2) to (41, 42); 1 at (50, 2) to" in (admission.error_detail or "")


def test_a_point_in_a_face_that_cannot_be_animated_has_its_reason() -> None:
    admission = admit(replace(JOB, face=Point(60, 5)), known(with_faces(FACE, COVERED), SPEECH))  # type: ignore[arg-type]
    assert (admission.error_code, admission.error_detail) == (
        "face_occluded",
        "Face 1 cannot be animated. The mouth is covered.",
    )


def test_the_work_of_a_job_is_that_of_its_chosen_face() -> None:
    small = Face(box=(50, 50, 60, 60))
    first, second = (
        admit(chosen(face_index=index), known(with_faces(FACE, small), replace(SPEECH, facts=LONG))).work_s  # type: ignore[arg-type]
        for index in (0, 1)
    )
    assert first is not None
    assert second is not None
    assert first > second


def test_the_default_seed_is_derived_from_both_files() -> None:
    def seed(portrait: str, speech: str, given: int | None = None) -> int:
        files = [
            replace(upload(kind), facts=UploadFacts(media_type="x/y", size_bytes=1, sha256=digit * 64, duration_s=4.5))
            for kind, digit in ((UploadKind.PORTRAIT, portrait), (UploadKind.SPEECH, speech))
        ]
        job = NewJob(portrait_upload_id=files[0].id, speech_upload_id=files[1].id, options=RenderOptions(seed=given))
        return admit(job, known(*files)).options.seed  # type: ignore[arg-type]

    assert seed("a", "b") == seed("a", "b")
    assert len({seed("a", "b"), seed("b", "a"), seed("a", "a"), seed("b", "b")}) == 4
    assert all(0 <= seed(digit, "c") <= SEED_MAX for digit in "0123456789abcdef")
    assert (seed("a", "b", 0), seed("a", "b", 7)) == (0, 7)
    # The videos of earlier versions have this seed.
    assert seed("a", "b") == 2_137_753_130


@pytest.mark.parametrize("job", [JOB, chosen(face_index=1), replace(JOB, face=Point(1, 1))])
@pytest.mark.parametrize(
    ("portrait", "code"),
    [
        (None, "upload_missing"),
        (replace(PORTRAIT, state=UploadState.PENDING, facts=None), "upload_missing"),
        (replace(PORTRAIT, kind=UploadKind.SPEECH), "wrong_content_type"),
        (
            replace(PORTRAIT, state=UploadState.REJECTED, error_code="no_face", error_detail="None.", facts=None),
            "no_face",
        ),
    ],
)
def test_a_job_with_an_unusable_upload_is_failed_immediately(job: NewJob, portrait: Upload | None, code: str) -> None:
    admission = admit(job, known(SPEECH, *([portrait] if portrait else [])))  # type: ignore[arg-type]
    assert (admission.state, admission.error_code, admission.speech_s) == (JobState.FAILED, code, 0.0)
    assert admission.error_detail


def test_a_job_with_an_upload_being_probed_is_rejected() -> None:
    with pytest.raises(UploadNotReadyError):
        admit(JOB, known(PORTRAIT, replace(SPEECH, state=UploadState.PROBING)))  # type: ignore[arg-type]


def test_valid_rows_have_no_faults() -> None:
    assert (
        faults(
            [
                replace(JOB, deadline_s=DEADLINE_MAX_S),
                replace(JOB, deadline_s=DEADLINE_MIN_S),
                replace(JOB, custom_id="a"),
                replace(JOB, custom_id="x" * CUSTOM_ID_MAX_CHARS),
                chosen(face_index=1),
                replace(JOB, face=Point(0, POINT_MOST_PX)),
                chosen(controls=MotionControls(**MOST)),
                chosen(controls=MotionControls(**dict.fromkeys(MOST, 0.0))),
                replace(chosen(seed=SEED_MAX), custom_id="b"),
            ]
        )
        == ()
    )


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (chosen(preset="huge"), "unknown_preset"),
        (chosen(seed=-1), "seed_out_of_range"),
        (chosen(seed=SEED_MAX + 1), "seed_out_of_range"),
        (replace(JOB, deadline_s=0.9), "deadline_out_of_range"),
        (replace(JOB, deadline_s=DEADLINE_MAX_S + 1), "deadline_out_of_range"),
        (replace(JOB, deadline_s=float("nan")), "deadline_out_of_range"),
        (replace(chosen(face_index=0), face=Point(1, 1)), "face_chosen_twice"),
        (replace(JOB, face=Point(0, POINT_MOST_PX + 1)), "face_out_of_range"),
        (replace(JOB, custom_id=""), "invalid_custom_id"),
        (replace(JOB, custom_id="x" * (CUSTOM_ID_MAX_CHARS + 1)), "invalid_custom_id"),
        (replace(JOB, custom_id="a\x00b"), "invalid_custom_id"),
    ],
)
def test_a_fault_has_its_row_and_code(row: NewJob, code: str) -> None:
    (fault,) = faults([JOB, row])
    assert (fault["row"], fault["code"]) == (1, code)


def test_an_unknown_choice_is_named_with_the_known_ones() -> None:
    (fault,) = faults([chosen(preset="huge")])
    assert fault["detail"] == "There is no preset 'huge'. Use one of: base, tiny."


def test_a_custom_id_of_several_rows_is_a_fault_of_each() -> None:
    found = faults([replace(JOB, custom_id="a"), JOB, JOB, replace(JOB, custom_id="a"), replace(JOB, custom_id="b")])
    assert [(fault["row"], fault["code"]) for fault in found] == [
        (0, "duplicate_custom_id"),
        (3, "duplicate_custom_id"),
    ]


@pytest.mark.parametrize("name", MOST)
@pytest.mark.parametrize("beyond", [-0.01, 2.01, float("nan"), float("inf")])
def test_a_control_out_of_range_is_a_fault_with_its_field(name: str, beyond: float) -> None:
    (fault,) = faults([chosen(controls=MotionControls(**{name: beyond}))])
    assert (fault["field"], fault["code"]) == (f"controls.{name}", "control_out_of_range")
    assert f"Use 0 to {MOST[name]:g}." in str(fault["detail"])
