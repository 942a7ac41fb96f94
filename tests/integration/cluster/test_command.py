# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
"""The command itself: its exit codes, its lock, and how fast it stops."""

from __future__ import annotations

import json
import os
import signal
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.forks import PYTHON
from tests.integration.cluster.double.server import Fault
from tests.integration.waiting import wait_until

from dubline.orchestration.commands.scale import LOCK, scale
from dubline.orchestration.domain.events import Cursor, EventKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.forks import Forks
    from tests.integration.cluster.double.server import Double

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.settings import DatabaseSettings

COMMAND = [*PYTHON, "tests.integration.orchestration.short_waits", "scale"]
POOL = {"name": "gpu", "presets": ["base"], "ceiling": 2, "floor": 1, "cold_start_s": 0}
WITHIN_S = 60.0


@pytest.fixture
def environment(database: DatabaseSettings, double: Double) -> dict[str, str]:
    assert double.url in Path(os.environ["KUBECONFIG"]).read_text()
    return os.environ | {"DUBLINE_DATABASE_URL": database.url.get_secret_value(), "DUBLINE_SCALING_PERIOD_S": "0.2"}


@pytest.mark.parametrize(
    ("pools", "kubeconfig", "said"),
    [
        ([], "kubeconfig", "dubline: there is no pool to scale; describe at least one in DUBLINE_SCALING_POOLS.\n"),
        ([POOL | {"deployment": "d"}], "none", "dubline: no cluster is configured"),
    ],
)
@pytest.mark.usefixtures("double")
def test_without_a_pool_or_a_cluster_it_ends_with_2(
    pools: list[object],
    kubeconfig: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DUBLINE_SCALING_POOLS", json.dumps(pools))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / kubeconfig))
    assert scale(Namespace(dry_run=False)) == 2
    assert capsys.readouterr().err.startswith(said)


def test_it_waits_for_the_lock_and_ends_while_a_call_hangs(
    environment: dict[str, str],
    store: Store,
    double: Double,
    deploy: Callable[..., str],
    forks: Forks,
    tmp_path: Path,
) -> None:
    name = deploy()
    environment["DUBLINE_SCALING_POOLS"] = json.dumps([POOL | {"deployment": name}])
    environment["DUBLINE_SCALING_LIVENESS_FILE"] = str(tmp_path / "alive")
    before = len(double.calls)
    with (tmp_path / "log").open("wb") as log:
        process = forks.start(COMMAND, environment, log)
    try:
        with store.lock(LOCK) as acquired:
            assert acquired
            wait_until((tmp_path / "alive").exists, WITHIN_S)
            assert len(double.calls) == before
        wait_until(lambda: double.objects.scale(name)["spec"].get("replicas") == 1, WITHIN_S)
        assert store.events.after(Cursor(), {EventKind.POOL_DECIDED})
        # It makes all passes until it stops: the next one depends on this one.
        with store.lock(LOCK) as acquired:
            assert not acquired
        hangs = Fault("get", "deployments", times=99, hold=double.never)
        double.faults.append(hangs)
        wait_until(lambda: hangs.times < 99, WITHIN_S)
        process.send_signal(signal.SIGTERM)
        # The call still hangs.
        assert process.wait(WITHIN_S) == 0
    finally:
        double.never.set()
        process.kill()
        process.wait()
