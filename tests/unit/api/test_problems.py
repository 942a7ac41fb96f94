from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from dubline.api import problems
from dubline.api.schemas.batches import BatchRequest
from dubline.api.schemas.keys import KeyRequest
from dubline.orchestration.domain.errors import (
    DublineError,
    InvalidBatchError,
    InvalidRequestError,
    NoFaceError,
    StorageUnavailableError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.responses import Response

T = TypeVar("T")
REQUEST = Request({"type": "http", "method": "GET", "path": "/", "headers": []})


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, without an event loop, which would open a socket."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("it waited")


def body(response: Response) -> dict[str, Any]:
    assert response.media_type == "application/problem+json"
    content: dict[str, Any] = json.loads(bytes(response.body))
    assert content["status"] == response.status_code
    return content


def refused(payload: object) -> RequestValidationError:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(BatchRequest).validate_python(payload)
    return RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in caught.value.errors()])


def test_values_of_an_enumeration_are_shown_without_its_name() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(KeyRequest).validate_python({"scopes": ["all"]})
    faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in caught.value.errors()]
    content = body(finished(problems._validation_error(REQUEST, RequestValidationError(faults))))
    assert content["detail"] == (
        "#/scopes/0: The value is not among the accepted ones. Use 'submit', 'read', 'delete' or 'admin'."
    )


def test_a_dubline_error_becomes_its_code_status_and_detail() -> None:
    content = body(finished(problems._dubline_error(REQUEST, NoFaceError())))
    assert content["type"] == "urn:dubline:problem:no_face"
    assert (content["title"], content["status"], content["code"]) == ("No face", 422, "no_face")
    assert content["detail"].startswith("No face was found")
    assert "errors" not in content


def test_every_dubline_error_can_be_translated() -> None:
    tree = [DublineError]
    for kind in tree:
        tree.extend(kind.__subclasses__())
        content = body(finished(problems._dubline_error(REQUEST, kind())))
        assert content["code"] == kind.code
        assert content["detail"].endswith((".", '".'))


def test_a_missing_key_gets_a_www_authenticate_header() -> None:
    response = finished(problems._dubline_error(REQUEST, UnauthorizedError()))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="dubline"'


def test_a_retryable_error_gets_a_retry_after_header() -> None:
    response = finished(problems._dubline_error(REQUEST, StorageUnavailableError()))
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0


def test_each_faulty_row_of_a_batch_is_listed() -> None:
    fault = {"row": 3, "field": "preset", "code": "unknown_preset", "detail": "There is no preset 'huge'."}
    content = body(finished(problems._dubline_error(REQUEST, InvalidBatchError(errors=[fault]))))
    assert content["errors"] == [
        {"pointer": "#/jobs/3/preset", "code": "unknown_preset", "detail": "There is no preset 'huge'."}
    ]


def test_the_faults_of_a_single_job_have_pointers_to_its_fields() -> None:
    fault = {"row": 0, "field": "preset", "code": "unknown_preset", "detail": "There is no preset 'huge'."}
    error = InvalidRequestError("There is no preset 'huge'.", [fault])
    content = body(finished(problems._dubline_error(REQUEST, error)))
    assert content["code"] == "invalid_request"
    assert content["errors"][0]["pointer"] == "#/preset"


def test_each_invalid_field_is_listed_without_its_value() -> None:
    fault = refused({"jobs": [{"portrait_upload_id": "SECRET", "seed": "1"}]})
    content = body(finished(problems._validation_error(REQUEST, fault)))
    assert content["code"] == "invalid_request"
    assert {item["pointer"] for item in content["errors"]} == {
        "#/jobs/0/portrait_upload_id",
        "#/jobs/0/speech_upload_id",
        "#/jobs/0/seed",
    }
    assert "SECRET" not in json.dumps(content)


def test_the_list_of_faults_is_limited() -> None:
    fault = refused({"jobs": [{}] * 4_000})
    content = body(finished(problems._validation_error(REQUEST, fault)))
    assert len(content["errors"]) == problems.ITEMS_SHOWN
    assert "at least 100 errors" in content["detail"]


def test_a_long_field_name_is_truncated() -> None:
    fault = refused({"jobs": [], "/~" + "x" * 9_000: 1})
    content = body(finished(problems._validation_error(REQUEST, fault)))
    assert "#/~1~0" + "x" * 62 in [item["pointer"] for item in content["errors"]]


def test_a_field_name_that_is_not_valid_text_is_reported() -> None:
    content = body(finished(problems._validation_error(REQUEST, refused({"jobs": [], "\ud800": 1}))))
    assert [item["code"] for item in content["errors"]] == ["string_unicode"]


@pytest.mark.parametrize(
    ("status", "code"), [(404, "no_such_path"), (405, "method_not_allowed"), (413, "body_too_large")]
)
def test_errors_of_the_framework_become_problems(status: int, code: str) -> None:
    error = HTTPException(status, "Split it.", headers={"Allow": "GET"})
    response = finished(problems._http_error(REQUEST, error))
    assert body(response)["code"] == code
    assert response.headers["allow"] == "GET"


def test_an_unexpected_error_does_not_expose_its_cause() -> None:
    content = body(problems.unexpected_problem())
    assert content["code"] == "internal"
    assert content["status"] == 500
