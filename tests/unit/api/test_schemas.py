from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dubline.api import idempotency
from dubline.api.schemas.batches import BatchRequest, RetentionRequest
from dubline.api.schemas.jobs import JobRequest
from dubline.api.schemas.options import ControlsRequest
from dubline.api.schemas.uploads import UploadRequest
from dubline.options.deadline import DEADLINE_MAX_S, DEADLINE_MIN_S
from dubline.options.render import BY_NAME, SEED_MAX, MotionControls, RenderOptions
from dubline.orchestration.domain.batches import RETENTION_MAX_S, RETENTION_MIN_S, Retention
from dubline.orchestration.domain.jobs import CUSTOM_ID_MAX_CHARS

if TYPE_CHECKING:
    from dubline.api.schemas.fields import RequestModel


MOST = {name.partition(".")[2]: one.most for name, one in BY_NAME.items() if name.startswith("controls.")}


def job(**fields: Any) -> JobRequest:
    return JobRequest.model_validate({"portrait_upload_id": str(uuid4()), "speech_upload_id": str(uuid4()), **fields})


def test_a_job_needs_only_its_two_uploads() -> None:
    new = job().new_job()
    assert (new.options, new.custom_id, new.deadline_s) == (RenderOptions(preset="base"), None, None)


@pytest.mark.parametrize("custom_id", ["a", "Grüße 17", "日本語", "x" * CUSTOM_ID_MAX_CHARS])
def test_a_custom_id_may_be_any_printable_text(custom_id: str) -> None:
    assert job(custom_id=custom_id).new_job().custom_id == custom_id


@pytest.mark.parametrize(
    "custom_id", ["", "a\x00b", "a\nb", "\ud800", "\u202e", "x" * (CUSTOM_ID_MAX_CHARS + 1), 7, ["a"]]
)
def test_a_custom_id_that_is_not_printable_is_rejected(custom_id: object) -> None:
    with pytest.raises(ValidationError):
        job(custom_id=custom_id)


@pytest.mark.parametrize("seed", [-1, SEED_MAX + 1, 1.5, "1", True, float("inf")])
def test_a_seed_is_an_integer_in_range(seed: object) -> None:
    with pytest.raises(ValidationError):
        job(seed=seed)


@pytest.mark.parametrize("deadline_s", [DEADLINE_MIN_S, 90, 0.5 + DEADLINE_MIN_S, DEADLINE_MAX_S])
def test_a_deadline_is_passed_on_in_seconds(deadline_s: float) -> None:
    assert job(deadline_s=deadline_s).new_job().deadline_s == deadline_s


@pytest.mark.parametrize(
    "deadline_s",
    [0, -1, DEADLINE_MIN_S / 2, DEADLINE_MAX_S + 1, float("nan"), float("inf"), "90", True, 10**400, [90]],
)
def test_an_invalid_deadline_is_rejected(deadline_s: object) -> None:
    with pytest.raises(ValidationError, match="deadline_s"):
        job(deadline_s=deadline_s)


@pytest.mark.parametrize(
    ("controls", "expected"),
    [
        ({}, MotionControls()),
        ({"head_motion": 0}, MotionControls(head_motion=0.0)),
        (MOST, MotionControls(**MOST)),
    ],
)
def test_controls_that_are_not_set_have_their_default(controls: dict[str, float], expected: MotionControls) -> None:
    assert job(controls=controls).new_job().options.controls == expected
    assert job().new_job().options.controls == MotionControls()


@pytest.mark.parametrize("name", MOST)
@pytest.mark.parametrize("value", [-0.01, 2.01, float("nan"), float("inf"), "1", True, None, 10**400, [1]])
def test_an_invalid_control_is_rejected(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=f"controls.{name}"):
        job(controls={name: value})


@pytest.mark.parametrize("controls", [None, 1, [], {"smile": 1}])
def test_controls_that_are_no_object_are_rejected(controls: object) -> None:
    with pytest.raises(ValidationError, match="controls"):
        job(controls=controls)


def batch(**fields: Any) -> BatchRequest:
    return BatchRequest.model_validate({"jobs": [job().model_dump()], **fields})


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        ({}, Retention()),
        ({"inputs_s": None}, Retention()),
        ({"results_s": RETENTION_MIN_S}, Retention(results_s=RETENTION_MIN_S)),
        ({"inputs_s": RETENTION_MAX_S, "results_s": 7200}, Retention(inputs_s=RETENTION_MAX_S, results_s=7200)),
    ],
)
def test_retention_is_passed_on_in_seconds(retention: dict[str, Any], kept: Retention) -> None:
    assert batch(retention=retention).retention.seconds() == kept
    assert batch().retention.seconds() == Retention()


@pytest.mark.parametrize("field", ["inputs_s", "results_s"])
@pytest.mark.parametrize("seconds", [-1, 0, RETENTION_MIN_S - 1, RETENTION_MAX_S + 1, 3600.5, "3600", True, [1]])
def test_an_invalid_retention_is_rejected(field: str, seconds: object) -> None:
    with pytest.raises(ValidationError, match=field):
        batch(retention={field: seconds})


@pytest.mark.parametrize("retention", [None, 3600, [], {"videos_s": 3600}])
def test_a_retention_that_is_no_object_is_rejected(retention: object) -> None:
    with pytest.raises(ValidationError, match="retention"):
        batch(retention=retention)


@pytest.mark.parametrize("kind", [ControlsRequest, JobRequest, RetentionRequest, UploadRequest])
def test_the_examples_of_the_schemas_are_valid(kind: type[RequestModel]) -> None:
    fields = kind.model_json_schema()["properties"]
    examples = {name: _example(field) for name, field in fields.items()}
    assert kind.model_validate_json(json.dumps(examples)).model_dump(mode="json") == examples


def _example(field: dict[str, Any]) -> object:
    """Return the first example of a field, or of its type other than null."""
    return next(one["examples"][0] for one in (field, *field.get("anyOf", ())) if "examples" in one)


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(ValidationError, match="presett"):
        job(presett="tiny")


@pytest.mark.parametrize("size_bytes", [1.0, "5", True, None])
def test_a_size_is_an_integer(size_bytes: object) -> None:
    with pytest.raises(ValidationError):
        UploadRequest.model_validate({"kind": "speech", "content_type": "audio/wav", "size_bytes": size_bytes})


def test_the_hash_of_a_batch_request_is_the_same_in_all_versions() -> None:
    row = {
        "portrait_upload_id": "0198c2f4-5a51-7c3e-9d7a-0f6d8f0f3a11",
        "speech_upload_id": "0198c2f4-6b02-7d1f-8a4b-3c9e5d7a2b22",
        "preset": "tiny",
        "seed": 7,
        "controls": {"expression": 1.0, "blink": 0.5},
        "custom_id": "a",
        "deadline_s": 3600,
    }
    retention = {"inputs_s": 604_800}
    # As computed before output options existed: a repetition after an update must find the batch of its first call.
    earlier = "04e29ef55d61fc2381f2f2ce08e690881e419ee12474c7c6ff3d73c7443750d0"
    for more in ({}, {"output": {}}, {"output": {"height_px": None}}):
        request = BatchRequest.model_validate({"jobs": [row | more], "retention": retention})
        assert idempotency.fingerprint(request) == earlier
    chosen = BatchRequest.model_validate({"jobs": [row | {"output": {"height_px": 720}}], "retention": retention})
    assert idempotency.fingerprint(chosen) != earlier
