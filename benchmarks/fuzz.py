"""Fuzzing: generated requests to every operation of the API; each response is compared with the OpenAPI description.

    python -m benchmarks.fuzz --cases 10000

Half of the requests obey the description, the others break it in one place. Many name objects that earlier requests
created. The last line is `cases= server_errors= schema_breaks=`; the exit code is 0 if both are 0.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import hypothesis
import schemathesis
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dubline.embedded import Stack
from dubline.embedded.application import RENDERER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemathesis import APIOperation, BaseSchema, Case, Response

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: Longest wait of a long poll, in seconds; longer ones only take time.
WAIT_S: Final = 0.01
#: Different findings that are printed.
SHOWN: Final = 50
#: Objects of each collection that later requests may name.
REMEMBERED: Final = 100


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
    findings: dict[str, str] = field(default_factory=dict)
    """The first request of each kind of finding."""

    def count(self, case: Case, response: Response, failures: Sequence[Failure]) -> None:
        """Count one response with what the checks say about it."""
        self.cases += 1
        self.statuses[case.operation.label][response.status_code] += 1
        if response.status_code >= 500:  # noqa: PLR2004
            self.server_errors += 1
        elif failures:
            self.schema_breaks += 1
        for failure in failures:
            kind = f"{case.operation.label} {response.status_code} {failure.title}: {failure.message[:300]}"
            self.findings.setdefault(kind, f"{case.as_curl_command()}\n  {response.text[:500]}")

    def __str__(self) -> str:
        return f"cases={self.cases} server_errors={self.server_errors} schema_breaks={self.schema_breaks}"


def fuzz(schema: BaseSchema, headers: dict[str, str], cases: int, seed: int) -> Tally:
    """Send about `cases` requests, the same number to each operation that has parameters or a body.

    Args:
        schema: the description, loaded from the service.
        headers: headers of every request.
        cases: number of requests.
        seed: the same seed generates the same requests for the same responses.
    """
    tally, ids = Tally(), defaultdict[str, list[str]](list)
    operations = [result.ok() for result in schema.get_all_operations()]
    rounds = max(1, min(10, cases // (20 * len(operations))))
    # In rounds, so that what one operation creates is found by the others, and deleted by some of them.
    for number in range(rounds):
        for index, operation in enumerate(operations):
            left = (cases - tally.cases) / (len(operations) * (rounds - number) - index)
            _fuzz_operation(operation, headers, max(1, round(left)), seed + number, tally, ids)
    return tally


def _fuzz_operation(  # noqa: PLR0913, PLR0917
    operation: APIOperation, headers: dict[str, str], cases: int, seed: int, tally: Tally, ids: dict[str, list[str]]
) -> None:
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if _has_input(operation) else (GenerationMode.POSITIVE,)
    for mode in modes:

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=max(1, cases // len(modes)),
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(operation.as_strategy(generation_mode=mode), st.randoms(use_true_random=False))
        def send(case: Case, random: Any) -> None:
            _aim(case, random, ids)
            response = case.call(headers=headers)
            tally.count(case, response, _failures(case, response, headers))
            _remember(case, response, ids)

        try:
            send()
        except Unsatisfiable:
            continue


def _has_input(operation: APIOperation) -> bool:
    return any((operation.path_parameters, operation.query, operation.headers, operation.body))


def _aim(case: Case, random: Any, ids: dict[str, list[str]]) -> None:
    """Put ids of existing objects into most requests, and shorten long polls."""
    if random.random() < 0.7:  # noqa: PLR2004
        for name in case.path_parameters or {}:
            if known := ids[f"{name.removesuffix('_id')}"]:
                case.path_parameters[name] = random.choice(known)
        _name_uploads(case.body, random, ids)
    query = case.query or {}
    if isinstance(query.get("wait_s"), (int, float)) and query["wait_s"] > WAIT_S:
        query["wait_s"] = WAIT_S if query["wait_s"] <= 30 else query["wait_s"]  # noqa: PLR2004


def _name_uploads(body: Any, random: Any, ids: dict[str, list[str]]) -> None:
    rows = body.get("jobs") if isinstance(body, dict) and isinstance(body.get("jobs"), list) else [body]
    for row in rows:
        if isinstance(row, dict):
            for kind in ("portrait", "speech"):
                if f"{kind}_upload_id" in row and ids[kind]:
                    row[f"{kind}_upload_id"] = random.choice(ids[kind])


def _failures(case: Case, response: Response, headers: dict[str, str]) -> Sequence[Failure]:
    try:
        case.validate_response(response, checks=CHECKS, headers=headers)
    except FailureGroup as group:
        return [failure for failure in group.exceptions if isinstance(failure, Failure)]
    except Failure as failure:
        return [failure]
    return []


def _remember(case: Case, response: Response, ids: dict[str, list[str]]) -> None:
    if response.status_code != 201:  # noqa: PLR2004
        return
    created = response.json()
    collection = case.operation.path.removeprefix("/v1/").partition("/")[0]
    names = [{"batches": "batch"}.get(collection, collection.removesuffix("s"))]
    if "kind" in created:
        names.append(created["kind"])
    for name in names:
        ids[name] = [*ids[name][1 - REMEMBERED :], created["id"]]


def main() -> int:
    """Start the service without a renderer, fuzz it and print what was found; the last line has the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with Stack(arrange=lambda parts: [part for part in parts if part.name != RENDERER]) as stack:
        headers = {"Authorization": f"Bearer {stack.key}"}
        schema = schemathesis.openapi.from_url(f"{stack.url}/openapi.json")
        tally = fuzz(schema, headers, arguments.cases, arguments.seed)
    report(tally)
    return 1 if tally.server_errors or tally.schema_breaks else 0


def report(tally: Tally) -> None:
    """Print the statuses of each operation, the findings and, last, the totals."""
    for label, counts in sorted(tally.statuses.items()):
        print(f"{label:42}", *(f"{status}:{number}" for status, number in sorted(counts.items())))
    for kind, example in list(tally.findings.items())[:SHOWN]:
        print(f"\n{kind}\n  {example}", file=sys.stderr)
    print(tally)


if __name__ == "__main__":
    sys.exit(main())
