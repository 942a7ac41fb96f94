"""Fuzzing: generated requests to every operation of the API; each response is compared with the OpenAPI description.

    python -m benchmarks.fuzz --cases 10000

Half of the requests obey the description, the others break it in one place. Many name objects that earlier requests
created. The last line is `cases= server_errors= schema_breaks=`; the exit code is 0 if both are 0.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import hypothesis
import schemathesis
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Err, Result
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dubline.client import Client
from dubline.embedded import Stack
from dubline.embedded.application import RENDERER
from dubline.options.output import exit_if_unread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schemathesis import APIOperation, BaseSchema, Case, Response
    from schemathesis.core.errors import InvalidSchema

    Operation = APIOperation[Any, Any, Any, Any]
    Request = Case[Operation]

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: Share of the requests that name existing objects.
AIMED: Final = 0.7
#: Passes over the operations, at most.
ROUNDS: Final = 10
#: Wait of a long poll in seconds, in place of each valid longer one, which only takes time.
WAIT_S: Final = 0.01
WAIT_MAX_S: Final = 30
#: Different problems that are printed.
SHOWN: Final = 50
#: Objects of each collection that later requests may name.
REMEMBERED: Final = 100
_DEMO: Final = Path(__file__).parents[1] / "demo"

#: Ids of existing objects by their kind: upload, portrait, speech, job, batch and key.
Ids = defaultdict[str, list[str]]


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the requests of a run found."""

    cases: int = 0
    server_errors: int = 0
    """Responses with a status of 500 or more."""
    schema_breaks: int = 0
    """Responses that the description does not allow."""
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """Number of responses by operation and status."""
    problems: dict[str, str] = field(default_factory=dict)
    """The first request of each kind of problem."""

    def count(self, case: Request, response: Response, failures: Sequence[Failure]) -> None:
        """Count one response with what the checks say about it."""
        self.cases += 1
        self.statuses[case.operation.label][response.status_code] += 1
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.server_errors += 1
        elif failures:
            self.schema_breaks += 1
        for failure in failures:
            kind = f"{case.operation.label} {response.status_code} {failure.title}: {failure.message[:300]}"
            self.problems.setdefault(kind, f"{case.as_curl_command()}\n  {response.text[:500]}")

    def __str__(self) -> str:
        return f"cases={self.cases} server_errors={self.server_errors} schema_breaks={self.schema_breaks}"


def fuzz(schema: BaseSchema, key: str, ids: Ids, cases: int, seed: int) -> Tally:
    """Send `cases` requests to the operations, most of them to those with parameters or a body.

    Args:
        schema: the description, loaded from the service.
        key: an API key with all scopes.
        ids: objects that exist; what requests create is added.
        cases: number of requests; a little less if an operation has fewer different requests.
        seed: the same seed generates the same requests for the same responses.
    """
    schema.config.generation.with_security_parameters = False
    tally, headers = Tally(), {"Authorization": f"Bearer {key}"}
    operations = list(map(_operation, schema.get_all_operations()))
    fixed = [one for one in operations if not _has_input(one)]
    varied = [one for one in operations if _has_input(one)]
    rounds = max(1, min(ROUNDS, cases // (20 * len(operations))))
    # In rounds, so that what one operation creates is found by the others, and deleted by some of them.
    for number in range(rounds):
        for one in fixed:
            _send(one, GenerationMode.POSITIVE, 1, seed, Run(tally=tally, ids=ids, headers=headers))
        for index, one in enumerate(varied):
            left = (cases - tally.cases) / (len(varied) * (rounds - number) - index)
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _send(one, mode, max(1, round(left / 2)), seed + number, Run(tally=tally, ids=ids, headers=headers))
    return tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the requests of a run share."""

    tally: Tally
    ids: Ids
    headers: Mapping[str, str]


def _send(operation: Operation, mode: GenerationMode, cases: int, seed: int, run: Run) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    # What is aimed at depends on earlier responses, so hypothesis draws the start of the generator alone: it refuses
    # to draw from a list that has grown meanwhile.
    @hypothesis.given(operation.as_strategy(generation_mode=mode), st.integers(0, 2**32 - 1))
    def send(case: Request, start: int) -> None:
        random = Random(start)  # noqa: S311 - nothing secret
        if random.random() < AIMED:
            _aim(case, random, run.ids)
        _shorten(case)
        response = case.call(headers=dict(run.headers))
        run.tally.count(case, response, _failures(case, response, run.headers))
        _remember(case, response, run.ids)

    with suppress(Unsatisfiable):
        send()


def _operation(result: Result[Operation, InvalidSchema]) -> Operation:
    if isinstance(result, Err):
        raise result.err()
    return result.ok()


def _has_input(operation: Operation) -> bool:
    return any((operation.path_parameters, operation.query, operation.headers, operation.body))


def _aim(case: Request, random: Random, ids: Ids) -> None:
    """Name existing objects and accepted types, which a description cannot list."""
    for name in case.path_parameters or {}:
        if known := ids[name.removesuffix("_id")]:
            case.path_parameters[name] = random.choice(known)
    body = case.body
    if not isinstance(body, dict):
        return
    jobs = body.get("jobs")
    rows = jobs if isinstance(jobs, list) else [body]
    for row in (row for row in rows if isinstance(row, dict)):
        for kind in ("portrait", "speech"):
            if isinstance(row.get(f"{kind}_upload_id"), str) and ids[kind]:
                row[f"{kind}_upload_id"] = random.choice(ids[kind])
        if isinstance(row.get("preset"), str):
            row["preset"] = "tiny"
    if isinstance(body.get("content_type"), str):
        body["content_type"] = "application/octet-stream"


def _shorten(case: Request) -> None:
    query = case.query or {}
    wait_s = query.get("wait_s")
    if isinstance(wait_s, (int, float)) and WAIT_S < wait_s <= WAIT_MAX_S:
        query["wait_s"] = WAIT_S


def _failures(case: Request, response: Response, headers: Mapping[str, str]) -> Sequence[Failure]:
    try:
        case.validate_response(response, checks=CHECKS, headers=dict(headers))
    except FailureGroup as group:
        return [failure for failure in group.exceptions if isinstance(failure, Failure)]
    except Failure as failure:
        return [failure]
    return []


def _remember(case: Request, response: Response, ids: Ids) -> None:
    if response.status_code != HTTPStatus.CREATED:
        return
    created = response.json()
    collection = case.operation.path.removeprefix("/v1/").partition("/")[0]
    name = "batch" if collection == "batches" else collection.removesuffix("s")
    ids[name] = [*ids[name][1 - REMEMBERED :], created["id"]]


def main() -> int:
    """Start the service without a renderer, fuzz it and print what was found; the last line has the totals."""
    parser = argparse.ArgumentParser(description="Fuzz the API.")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    # Each case is to reach its route, however many are sent in a second.
    unlimited = {"DUBLINE_LIMIT_REQUESTS_PER_S": "100000"}
    with Stack(unlimited, lambda parts: [part for part in parts if part.name != RENDERER]) as stack:
        ids = Ids(list)
        with Client(stack.url, stack.key) as client:
            ids["portrait"] = [client.uploads.send(_DEMO / "portraits/ada.jpg", "portrait").id]
            ids["speech"] = [client.uploads.send(_DEMO / "speech/english.mp3", "speech").id]
        schema = schemathesis.openapi.from_url(f"{stack.url}/openapi.json")
        tally = fuzz(schema, stack.key, ids, arguments.cases, arguments.seed)
    print(summary(tally))
    return 1 if tally.server_errors or tally.schema_breaks else 0


def summary(tally: Tally) -> str:
    """Return the statuses of each operation, the problems with a request for each, and the totals in the last line."""
    statuses = (
        " ".join([f"{label:42}", *(f"{status}:{number}" for status, number in sorted(counts.items()))])
        for label, counts in sorted(tally.statuses.items())
    )
    problems = (f"\n{kind}\n  {example}" for kind, example in list(tally.problems.items())[:SHOWN])
    return "\n".join([*statuses, *problems, str(tally)])


if __name__ == "__main__":
    with exit_if_unread():
        sys.exit(main())
