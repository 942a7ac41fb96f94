"""The schemas, the client, the command line and the table of jobs agree with the declared render options."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from dubline.api.schemas.jobs import JobAnswer, JobRequest
from dubline.client.calls.jobs import NewJob
from dubline.client.calls.options import RequestedOptions
from dubline.client.cli.commands import submit
from dubline.client.runs.manifest import Row
from dubline.options.render import DEFAULT, OPTIONS, MotionControls, columns_of, faults_of, from_columns
from dubline.orchestration.database.rows import JobRow

if TYPE_CHECKING:
    from pydantic import BaseModel

    from dubline.options.option import Option

every_option = pytest.mark.parametrize("one", OPTIONS, ids=lambda one: one.name)
bounded = pytest.mark.parametrize("one", [one for one in OPTIONS if one.least is not None], ids=lambda one: one.name)


def schema_of(model: type[BaseModel], one: Option) -> dict[str, Any]:
    """Find one option in a model's JSON schema: its only typed variant that is not null."""
    schema = model.model_json_schema()
    for part in one.name.split("."):
        while "properties" not in schema:
            schema = model.model_json_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
        schema = schema["properties"][part]
    found: dict[str, Any] = next((kind for kind in schema.get("anyOf", ()) if kind["type"] != "null"), schema)
    return found | {key: value for key, value in schema.items() if key == "default"}


@bounded
@pytest.mark.parametrize("model", [JobRequest, RequestedOptions, NewJob, Row])
def test_requests_have_the_bounds_of_the_table(model: type[BaseModel], one: Option) -> None:
    schema = schema_of(model, one)
    assert (schema["minimum"], schema["maximum"]) == (one.least, one.most)
    assert schema.get("multipleOf") == one.multiple_of


@every_option
def test_the_api_has_the_defaults_and_descriptions(one: Option) -> None:
    schema = schema_of(JobRequest, one)
    assert schema.get("default") == one.default
    assert schema["description"] == one.description


@every_option
def test_a_job_shows_every_option(one: Option) -> None:
    assert schema_of(JobAnswer, one)


@bounded
def test_the_command_line_has_the_bounds_of_the_table(one: Option) -> None:
    hint = get_type_hints(submit, include_extras=True)[one.name.rpartition(".")[2]]
    (found,) = hint.__metadata__
    assert (found.min, found.max) == (one.least, one.most)
    assert found.help == one.description


@every_option
def test_every_option_has_a_column_and_bounds_a_check(one: Option) -> None:
    table = JobRow.__table__
    assert one.column in table.c
    checks = {str(check.sqltext) for check in table.constraints if hasattr(check, "sqltext")}  # type: ignore[attr-defined]
    assert one.check_sql() is None or one.check_sql() in checks


def test_options_are_restored_from_their_columns() -> None:
    chosen = replace(DEFAULT, preset="tiny", seed=7, controls=MotionControls(blink=0.5))
    assert from_columns(columns_of(chosen)) == chosen


@bounded
def test_values_beyond_the_bounds_are_faults(one: Option) -> None:
    assert one.least is not None
    assert one.most is not None
    beyond = (one.least - 1, one.most + 1, math.nan)
    assert [one.accepts(value) for value in (one.least, one.most, *beyond)] == [True, True, False, False, False]
    assert one.multiple_of is None or not one.accepts(one.least + 1)
    assert list(faults_of(from_columns(columns_of(DEFAULT) | {one.column: beyond[0]}))) == [(one, beyond[0])]


def test_the_default_options_have_no_faults() -> None:
    assert list(faults_of(DEFAULT)) == []
    assert asdict(DEFAULT) == {
        "preset": "base",
        "seed": None,
        "face_index": None,
        "controls": {"expression": 1.0, "head_motion": 1.0, "blink": 1.0, "shut_in_silence": 1.0},
        "output": {"height_px": None},
    }
