"""What hostile requests cost a real API process."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from benchmarks.hostile import Target, bodies
from tests.integration.api.conftest import environment_of
from tests.integration.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.orchestration.settings import BucketSettings, DatabaseSettings

#: By how much a request may raise the peak of resident memory, in MB.
GROWTH_MB = 200
BODIES = bodies()


@pytest.fixture(scope="module")
def process(database: DatabaseSettings, bucket: BucketSettings) -> Iterator[tuple[str, int]]:
    """URL and process id of an API."""
    environment = environment_of(database, bucket)
    with subprocess.Popen([sys.executable, "-m", "dubline.api"], env=environment, stderr=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{environment['DUBLINE_API_PORT']}", process.pid
        process.terminate()


@pytest.fixture
def target(process: tuple[str, int], key: str) -> Target:
    url, pid = process
    target = Target(url, key, pid)
    wait_until(lambda: target.post(b"{}") == 422, within_s=300)
    return target


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_hostile_body_costs_little_memory_and_is_refused(target: Target, body: bytes) -> None:
    cost = target.cost(lambda: target.post(body))
    assert cost.status in {413, 422}
    assert cost.grown_mb <= GROWTH_MB


@pytest.mark.parametrize("with_key", [False, True])
def test_silent_connections_hold_little_memory(target: Target, *, with_key: bool) -> None:
    assert target.cost(lambda: target.silent(key=with_key)).grown_mb <= GROWTH_MB
