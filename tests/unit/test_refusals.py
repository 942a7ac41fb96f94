"""Every value that a user can send wrong is refused in sentences of Dubline, not of pydantic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError

import dubline.api.app
import dubline.worker.settings
from dubline.api.schemas.fields import RequestModel
from dubline.client.calls.consent import Consent
from dubline.client.calls.options import Controls, Output, Point
from dubline.client.runs.manifest import Row
from dubline.options import refusals
from dubline.options.refusals import SENTENCES, sentence_of
from dubline.orchestration.scaling.pool import PoolSettings
from dubline.orchestration.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Values as queries, headers and paths have them.
TEXTS = [
    "",
    "x",
    "\ud800",
    "\x00",
    "x" * 5_000,
    "-1",
    "0",
    "0.5",
    "nan",
    "inf",
    "1e999",
    "9" * 5_000,
    "99999999999999999",
]
TIMES = [
    "2026-01-31",
    "2026-13-31",
    "2026-01-31T12:00:00",
    "2026-01-31T25:00:00Z",
    "0001-01-01T00:00:00Z",
    "2026-01-31T00:00:00Z",
]
#: Values as JSON has them.
VALUES = [
    *TEXTS,
    *TIMES,
    None,
    True,
    0,
    -1,
    3,
    10**30,
    -(10**30),
    0.5,
    -0.5,
    math.nan,
    math.inf,
    [],
    ["x"],
    [0],
    {},
    {"x": 1},
]
MODELS = [Consent, Controls, Output, Point, Row, PoolSettings]


def subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in model.__subclasses__():
        yield one
        yield from subclasses(one)


def faults(adapter: TypeAdapter[Any], value: object) -> list[Any]:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        return list(error.errors())
    return []


def is_of_dubline(fault: dict[str, Any]) -> bool:
    """Tell whether the fault has a sentence for what is wrong and one for what to do, of Dubline."""
    said = sentence_of(fault)
    known = fault["type"] == "value_error" or fault["type"] in SENTENCES
    return (
        known
        and "in its description" not in said
        and said.count(". ") >= 1
        and said.endswith(".")
        and fault["msg"] not in said
    )


# The settings of the worker are loaded with its module.
@pytest.mark.parametrize(
    "model", [*MODELS, *subclasses(RequestModel), *subclasses(Settings)], ids=lambda model: model.__name__
)
def test_wrong_fields_are_refused_in_two_sentences(model: type[BaseModel]) -> None:
    assert dubline.worker.settings
    adapter = TypeAdapter(model)
    found = [fault for value in VALUES for fault in faults(adapter, value)]
    found += [fault for name in model.model_fields for value in VALUES for fault in faults(adapter, {name: value})]
    assert {fault["type"] for fault in found} >= {"model_type"}
    assert [fault for fault in found if not is_of_dubline(fault)] == []


def test_wrong_parameters_are_refused_in_two_sentences() -> None:
    routers = [module.router for module in vars(dubline.api.app).values() if hasattr(module, "router")]
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    parameters = {id(one): one for route in routes for one in get_flat_params(route.dependant)}
    assert len(parameters) > 20
    found = []
    for one in parameters.values():
        for value in [*TEXTS, *TIMES]:
            for given in (value, [value]):
                found += one.validate(given, {}, loc=("query", one.alias))[1] or []
    assert {fault["type"] for fault in found} >= {"int_parsing", "uuid_parsing", "enum", "string_pattern_mismatch"}
    assert [fault for fault in found if not is_of_dubline(fault)] == []


def test_a_kind_that_a_later_pydantic_adds_is_not_shown_in_its_words() -> None:
    assert sentence_of({"type": "new", "msg": "Input should be new", "ctx": {}}) == refusals.OTHER


def test_bounds_are_shown_without_needless_digits() -> None:
    (fault,) = faults(TypeAdapter(Controls), {"blink": 9})
    assert sentence_of(fault) == "The number is too large. Use at most 2."
