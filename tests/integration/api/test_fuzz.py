from __future__ import annotations

from typing import TYPE_CHECKING

from dubline.api.app import create_app
from dubline.orchestration.domain.keys import Scope

if TYPE_CHECKING:
    from tests.integration.api.conftest import Prober

    from dubline.api.services import Services

CASES = 120


def test_generated_requests_get_only_responses_that_are_described(
    services: Services, tenant: str, prober: Prober
) -> None:
    # Takes seconds, which only this test needs.
    import schemathesis  # noqa: PLC0415
    from benchmarks.fuzz import Ids, fuzz, summary  # noqa: PLC0415

    key = services.store.keys.issue(tenant, frozenset(Scope), None).secret
    ids = Ids(list, {kind: [prober.ready(kind)] for kind in ("portrait", "speech")})
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(services))
    tally = fuzz(schema, key, ids, CASES, seed=1)
    assert not tally.problems, summary(tally)
    assert (tally.server_errors, tally.schema_breaks) == (0, 0)
    assert tally.cases > 0.8 * CASES
    succeeded = {label for label, counts in tally.statuses.items() if any(status < 300 for status in counts)}
    # Operations that need an id of an earlier response. Of few cases, not every operation has one that succeeds.
    assert {"POST /v1/jobs", "POST /v1/batches", "GET /v1/jobs/{job_id}"} <= succeeded
