# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
"""Passes of the loop over a real database and the double of an API server."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY
from tests.integration.cluster.double.controller import Controller
from tests.integration.cluster.double.server import Fault
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import column

from dubline.orchestration.cluster import costs
from dubline.orchestration.cluster.objects import DELETION_COST
from dubline.orchestration.cluster.rights import RIGHTS
from dubline.orchestration.cluster.scaler import Scaler
from dubline.orchestration.commands.scale import LOCK
from dubline.orchestration.database.store import Store
from dubline.orchestration.domain.errors import DatabaseUnavailableError
from dubline.orchestration.domain.events import Cursor, EventKind
from dubline.orchestration.maintenance.scheduler import PeriodicTask
from dubline.orchestration.maintenance.task_lock import TaskLock
from dubline.orchestration.scaling.pool import PoolSettings
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.integration.cluster.double.server import Double

    from dubline.orchestration.cluster.api import Cluster

LEASE_S = 60.0
WRITES = {"patch", "update", "create", "delete"}


@pytest.fixture
def factory(store: Store) -> JobFactory:
    return JobFactory(store, "acme")


def pool(deployment: str, **more: Any) -> PoolSettings:
    fields = {"name": "gpu", "deployment": deployment, "presets": ["base", "tiny"], "ceiling": 5}
    times = {"basis": "depth", "jobs_per_worker": 1, "cold_start_s": 0}
    return PoolSettings.model_validate(fields | times | more)


class Pods:
    """Pods of a Deployment, written into the double as its controllers and kubelets would."""

    def __init__(self, double: Double, deployment: str) -> None:
        self._objects, self._deployment = double.objects, deployment

    def add(self, name: str, *, ready: bool = True, age_s: float = 100, waiting: str = "") -> str:
        labels = {"dubline-test": self._deployment}
        conditions = [{"type": "Ready", "status": str(ready)}]
        states = [{"name": "worker", "restartCount": 0, "state": {"waiting": {"reason": waiting}} if waiting else {}}]
        status = {"phase": "Running", "conditions": conditions, "containerStatuses": states}
        spec = {"nodeName": "node"}
        self._objects.create("pods", {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status})
        created = (datetime.now(UTC) - timedelta(seconds=age_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._objects.patch("pods", name, {"metadata": {"creationTimestamp": created}})
        return name

    @property
    def costs(self) -> Mapping[str, int]:
        found = [one["metadata"] for one in self._objects.list("pods")]
        return {one["name"]: int(one.get("annotations", {}).get(DELETION_COST, 0)) for one in found}

    @property
    def names(self) -> set[str]:
        found = [one["metadata"] for one in self._objects.list("pods")]
        return {one["name"] for one in found if "deletionTimestamp" not in one}


def replicas(double: Double, deployment: str) -> int:
    return int(double.objects.get("deployments", deployment)["spec"]["replicas"])


def events(store: Store) -> list[Mapping[str, Any]]:
    return [one.payload for one in store.events.after(Cursor(), {EventKind.POOL_DECIDED})]


def polled(store: Store, *pods: str) -> None:
    """Let the workers of some pods poll once, without a job in the queue."""
    for pod in pods:
        assert store.leases.claim(f"{pod}:1/2", LEASE_S) is None


def test_waiting_jobs_get_workers_and_an_event(
    store: Store, cluster: Cluster, double: Double, deploy: Callable[..., str], factory: JobFactory
) -> None:
    name = deploy()
    for _ in range(3):
        factory.job()
    (done,) = Scaler(store, cluster, [pool(name, ceiling=2)]).run()
    assert (done.workers, replicas(double, name)) == (2, 2)
    (event,) = events(store)
    expected = {"pool": "gpu", "workers": 2, "reason": "ceiling", "wanted": 3, "requested": 0, "waiting": 3, "held": ""}
    assert expected.items() <= event.items()


def test_a_decision_that_changes_nothing_writes_nothing_but_its_event(
    store: Store, cluster: Cluster, double: Double, deploy: Callable[..., str]
) -> None:
    name = deploy()
    Scaler(store, cluster, [pool(name)]).run()
    assert [event["reason"] for event in events(store)] == ["steady"]
    assert not [call for call in double.calls if call.verb == "patch"]


def test_only_idle_workers_leave_and_are_marked_first(
    store: Store, cluster: Cluster, double: Double, deploy: Callable[..., str], factory: JobFactory
) -> None:
    name = deploy(3)
    pods = Pods(double, name)
    # The busy one is the youngest, which the controller would remove first.
    old, idle, busy = pods.add("pod-old", age_s=900), pods.add("pod-idle", age_s=500), pods.add("pod-busy", age_s=9)
    settle(double, name)
    polled(store, old, idle)
    factory.job()
    assert store.leases.claim(f"{busy}:1/2", LEASE_S) is not None
    (done,) = Scaler(store, cluster, [pool(name)]).run()
    assert (done.workers, replicas(double, name)) == (1, 1)
    assert pods.costs[old] == pods.costs[idle] == costs.LEAVING
    assert pods.costs[busy] > 0
    Controller(double.objects).step()
    assert pods.names == {busy}
    assert column(store, "SELECT split_part(name, ':', 1) FROM workers WHERE leaving_until > now()") == [old, idle]
    order = [call.resource for call in double.calls if call.verb == "patch"]
    assert order == ["pods", "pods", "pods", "deployments/scale"]


def test_a_worker_that_claims_meanwhile_stays(
    store: Store,
    cluster: Cluster,
    double: Double,
    deploy: Callable[..., str],
    factory: JobFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = deploy(2)
    pods = Pods(double, name)
    first, second = pods.add("pod-1"), pods.add("pod-2")
    settle(double, name)
    polled(store, first, second)
    read = store.predictions.workload

    def then_claimed() -> object:
        found = read()
        factory.job()
        assert store.leases.claim(f"{second}:1/2", LEASE_S) is not None
        return found

    monkeypatch.setattr(store.predictions, "workload", then_claimed)
    (done,) = Scaler(store, cluster, [pool(name)]).run()
    assert (done.workers, done.held, replicas(double, name)) == (1, "claimed_meanwhile", 1)
    Controller(double.objects).step()
    assert pods.names == {second}


def test_a_pool_is_not_made_smaller_during_a_rollout(
    store: Store, cluster: Cluster, double: Double, deploy: Callable[..., str]
) -> None:
    name = deploy(2)
    for pod in ("pod-1", "pod-2"):
        Pods(double, name).add(pod)
    status = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1}
    double.objects.patch("deployments", name, {"status": status})
    (done,) = Scaler(store, cluster, [pool(name)]).run()
    assert (done.held, replicas(double, name)) == ("rollout", 2)


def test_a_busy_pod_that_is_not_ready_keeps_the_pool(
    store: Store, cluster: Cluster, double: Double, deploy: Callable[..., str], factory: JobFactory
) -> None:
    name = deploy(2)
    Pods(double, name).add("pod-idle")
    Pods(double, name).add("pod-busy", ready=False)
    settle(double, name)
    factory.job()
    assert store.leases.claim("pod-busy:1/2", LEASE_S) is not None
    (done,) = Scaler(store, cluster, [pool(name)]).run()
    assert (done.held, replicas(double, name)) == ("busy_pod_not_ready", 2)


def settle(double: Double, name: str) -> None:
    """Let the controllers see the Deployment as it is."""
    generation = double.objects.get("deployments", name)["metadata"]["generation"]
    count = len(double.objects.list("pods"))
    status = {"observedGeneration": generation, "replicas": count, "updatedReplicas": count}
    double.objects.patch("deployments", name, {"status": status})


def test_without_the_database_nothing_changes(cluster: Cluster, double: Double, deploy: Callable[..., str]) -> None:
    name = deploy(4)
    nowhere = DatabaseSettings.model_validate({"url": "postgresql+psycopg://u:p@127.0.0.1:1/none"})
    with Store.connect(nowhere) as away, pytest.raises(DatabaseUnavailableError):
        Scaler(away, cluster, [pool(name)]).run()
    assert (replicas(double, name), WRITES & {call.verb for call in double.calls[1:]}) == (4, set())


def test_without_an_event_nothing_changes(
    store: Store,
    cluster: Cluster,
    double: Double,
    deploy: Callable[..., str],
    factory: JobFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: object) -> None:
        raise DatabaseUnavailableError

    name = deploy()
    factory.job()
    monkeypatch.setattr(store.events, "append", gone)
    with pytest.raises(DatabaseUnavailableError):
        Scaler(store, cluster, [pool(name)]).run()
    assert replicas(double, name) == 0


@pytest.mark.parametrize("fault", ["get deployments", "list pods", "patch deployments/scale"])
@pytest.mark.parametrize("code", [0, 403, 500])
def test_a_pool_about_which_the_cluster_fails_is_held_alone(
    store: Store,
    cluster: Cluster,
    double: Double,
    deploy: Callable[..., str],
    factory: JobFactory,
    fault: str,
    code: int,
) -> None:
    first, second = deploy(), deploy()
    pools = [pool(first, presets=["tiny"], floor=1), pool(second, name="other", presets=["base"])]
    factory.job()
    double.faults.append(Fault(*fault.split(), code=code))
    scaler = Scaler(store, cluster, pools)
    held, done = scaler.run()
    cause = "cluster_refused" if code == 403 else "cluster_unavailable"
    assert (held.workers, held.held, replicas(double, first)) == (None, cause, 0)
    assert (done.workers, replicas(double, second)) == (1, 1)
    # The fault is over.
    assert (scaler.run()[0].workers, replicas(double, first)) == (1, 1)


def test_a_server_that_asks_for_time_is_not_called_meanwhile(
    store: Store, cluster: Cluster, double: Double, deploy: Callable[..., str]
) -> None:
    now = [0.0]
    scaler = Scaler(store, cluster, [pool(deploy(), floor=1)], clock=lambda: now[0])
    double.faults.append(Fault("get", "deployments", code=429, headers=(("Retry-After", "30"),)))
    assert scaler.run()[0].held == "cluster_unavailable"
    calls = len(double.calls)
    now[0] = 29.0
    assert scaler.run()[0].held == "cluster_unavailable"
    assert len(double.calls) == calls
    now[0] = 31.0
    assert scaler.run()[0].workers == 1


def test_a_stale_list_of_pods_removes_no_worker(
    store: Store, cluster: Cluster, double: Double, deploy: Callable[..., str]
) -> None:
    name = deploy(1)
    Pods(double, name).add("pod-gone")
    settle(double, name)
    polled(store, "pod-gone")
    double.stale = double.objects.list("pods")
    double.objects.delete("pods", "pod-gone")
    (done,) = Scaler(store, cluster, [pool(name)]).run()
    assert (done.held, replicas(double, name)) == ("missing_object", 1)
    assert column(store, "SELECT count(*) FROM workers WHERE leaving_until > now()") == [0]


def test_a_quota_is_recognised_and_not_asked_again_at_once(
    store: Store, cluster: Cluster, double: Double, deploy: Callable[..., str], factory: JobFactory
) -> None:
    now = [0.0]
    name, controller = deploy(), Controller(double.objects)
    controller.quota = 1
    scaler = Scaler(store, cluster, [pool(name)], clock=lambda: now[0])
    for _ in range(3):
        factory.job()
    counts = []
    for _ in range(4):
        counts.append(scaler.run()[0].workers)
        controller.step()
        now[0] += 10
    # Three are requested, two of them cannot be created and are withdrawn.
    assert counts == [3, 1, 1, 1]
    assert [event["reason"] for event in events(store)[1:]] == ["failed_starts"] * 3
    assert events(store)[1]["troubles"] == {"FailedCreate": 2}
    now[0] += 60
    assert scaler.run()[0].workers == 3


def test_two_scalers_with_one_lock_make_one_series_of_passes(
    store: Store,
    database: DatabaseSettings,
    cluster: Cluster,
    double: Double,
    deploy: Callable[..., str],
    factory: JobFactory,
) -> None:
    now = [0.0]
    name, controller = deploy(), Controller(double.objects)
    controller.quota = 1
    for _ in range(3):
        factory.job()
    counts = []
    with Store.connect(database) as other, ExitStack() as stack:
        locks = []
        for one in (store, other):
            scaler = Scaler(one, cluster, [pool(name)], clock=lambda: now[0])
            repeated = PeriodicTask(name="scale", lock=LOCK, period_s=1, run=scaler.run, memory=scaler.memory)
            locks.append(stack.enter_context(TaskLock(one, repeated)))
        for number in range(8):
            locks[number % 2].run()
            counts.append(replicas(double, name))
            controller.step()
            now[0] += 7
    # A scaler that does not know of the pause would request three again.
    assert counts == [3, 3, 1, 1, 1, 1, 1, 1]


def test_a_scaler_that_loses_the_lock_publishes_no_old_numbers(
    store: Store, cluster: Cluster, deploy: Callable[..., str]
) -> None:
    scaler = Scaler(store, cluster, [pool(deploy(), name="lost")])
    with scaler.memory():
        scaler.run()
        assert REGISTRY.get_sample_value("dubline_scaling_wanted_workers", {"pool": "lost"}) == 0
    assert REGISTRY.get_sample_value("dubline_scaling_wanted_workers", {"pool": "lost"}) is None


@pytest.mark.parametrize(("waiting", "workers"), [("ImagePullBackOff", 0), ("ContainerCreating", 1)])
def test_a_pod_that_cannot_start_is_withdrawn(
    store: Store,
    cluster: Cluster,
    double: Double,
    deploy: Callable[..., str],
    factory: JobFactory,
    waiting: str,
    workers: int,
) -> None:
    name = deploy(1)
    Pods(double, name).add("pod-1", ready=False, age_s=20, waiting=waiting)
    settle(double, name)
    factory.job()
    assert Scaler(store, cluster, [pool(name)]).run()[0].workers == workers


def test_a_dry_run_writes_nothing(
    store: Store, cluster: Cluster, double: Double, deploy: Callable[..., str], factory: JobFactory
) -> None:
    up, down = deploy(), deploy(1)
    Pods(double, down).add("pod-1")
    settle(double, down)
    polled(store, "pod-1")
    store.jobs.insert("acme", factory.new(preset="tiny"))
    before = len(double.calls)
    pools = [pool(up, presets=["tiny"]), pool(down, name="other", presets=["base"])]
    scaler = Scaler(store, cluster, pools, dry_run=True)
    assert [done.workers for done in scaler.run()] == [1, 0]
    assert not WRITES & {call.verb for call in double.calls[before:]}
    assert (events(store), column(store, "SELECT count(*) FROM workers WHERE leaving_until > now()")) == ([], [0])


def test_the_calls_need_exactly_the_rights_of_the_role(
    store: Store, cluster: Cluster, double: Double, deploy: Callable[..., str]
) -> None:
    name = deploy(1)
    Pods(double, name).add("pod-1")
    settle(double, name)
    polled(store, "pod-1")
    double.calls.clear()
    double.faults.append(Fault("patch", "deployments/scale", code=409))
    Scaler(store, cluster, [pool(name)]).run()
    needed = {(right.group, right.resource, verb) for right in RIGHTS for verb in right.verbs}
    assert {(call.group, call.resource, call.verb) for call in double.calls} == needed
    named = {right.resource for right in RIGHTS if right.named}
    assert {call.name for call in double.calls if call.resource in named} == {name}
    assert all(asdict(right)["why"] for right in RIGHTS)
