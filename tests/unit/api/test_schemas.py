from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dubline.api.schemas.jobs import JobRequest
from dubline.api.schemas.uploads import UploadRequest
from dubline.orchestration.jobs import CUSTOM_ID_MAX_CHARS, SEED_MAX


def job(**fields: Any) -> JobRequest:
    return JobRequest.model_validate({"portrait_upload_id": str(uuid4()), "speech_upload_id": str(uuid4()), **fields})


def test_a_job_needs_only_its_two_uploads() -> None:
    new = job().new_job()
    assert (new.preset, new.seed, new.custom_id) == ("tiny", 0, None)


@pytest.mark.parametrize("custom_id", ["a", "Grüße 17", "日本語", "x" * CUSTOM_ID_MAX_CHARS])
def test_a_custom_id_may_be_any_printable_text(custom_id: str) -> None:
    assert job(custom_id=custom_id).new_job().custom_id == custom_id


@pytest.mark.parametrize(
    "custom_id", ["", "a\x00b", "a\nb", "\ud800", "\u202e", "x" * (CUSTOM_ID_MAX_CHARS + 1), 7, ["a"]]
)
def test_a_custom_id_that_could_not_be_kept_or_shown_is_refused(custom_id: object) -> None:
    with pytest.raises(ValidationError):
        job(custom_id=custom_id)


@pytest.mark.parametrize("seed", [-1, SEED_MAX + 1, 1.5, "1", True, float("inf"), None])
def test_a_seed_is_a_whole_number_in_range(seed: object) -> None:
    with pytest.raises(ValidationError):
        job(seed=seed)


def test_a_misspelt_field_is_an_error_not_a_default() -> None:
    with pytest.raises(ValidationError, match="presett"):
        job(presett="tiny")


@pytest.mark.parametrize("size_bytes", [1.0, "5", True, None])
def test_a_size_is_a_whole_number(size_bytes: object) -> None:
    with pytest.raises(ValidationError):
        UploadRequest.model_validate({"kind": "speech", "content_type": "audio/wav", "size_bytes": size_bytes})
