"""A simulated pool of workers with its queue: an event simulation with a clock of its own."""

from __future__ import annotations

import heapq
import math
from collections import deque
from enum import Enum
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Protocol

from dubline.orchestration.scaling.simulation.outcome import Outcome

if TYPE_CHECKING:
    from dubline.orchestration.scaling.simulation.conditions import Conditions
    from dubline.orchestration.scaling.simulation.traces import Arrival, Trace


class Controller(Protocol):
    """A policy with its state, for one simulation."""

    period_s: float
    """Seconds between two decisions."""
    idle_only: bool
    """Whether it removes ready workers only if they are idle. Otherwise any ready worker may be removed."""

    def workers(self, cluster: Cluster) -> int:
        """Return how many workers there are to be."""
        ...


class Job:
    """A job that is not finished."""

    __slots__ = ("arrival", "left_s", "predicted_s")

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.left_s = arrival.device_s
        self.predicted_s = arrival.predicted_s


class Worker:
    """A worker from its request to its end."""

    __slots__ = ("began_s", "is_gone", "job", "requested_s")

    def __init__(self, requested_s: float) -> None:
        self.requested_s = requested_s
        self.is_gone = False
        self.job: Job | None = None
        self.began_s = 0.0


class Kind(Enum):
    """What happens at an event."""

    READY = 1
    DONE = 2
    LOST = 3


class Cluster:
    """Workers, queue and clock."""

    def __init__(self, conditions: Conditions, seed: int) -> None:
        self.conditions = conditions
        self.at_s = 0.0
        self.waiting: deque[Job] = deque()
        self._waiting_s = 0.0
        # Dictionaries without values: sets in the order of insertion, so that a seed repeats a simulation exactly.
        self.starting: dict[Worker, None] = {}
        self.idle: dict[Worker, None] = {}
        self.busy: dict[Worker, None] = {}
        self.outcome = Outcome()
        self._random = Random(seed)  # noqa: S311 - not for secrets
        self._events: list[tuple[float, int, Kind, Worker, Job | None]] = []
        self._numbers = count()

    @property
    def requested(self) -> int:
        """Workers that there are, ready or not."""
        return len(self.starting) + len(self.idle) + len(self.busy)

    @property
    def backlog_s(self) -> float:
        """Predicted device seconds of the waiting jobs and of what is left of the running ones."""
        left_s = 0.0
        for worker in self.busy:
            if worker.job is not None:
                left_s += max(worker.job.predicted_s - (self.at_s - worker.began_s), 0.0)
        return left_s + (self._waiting_s if self.waiting else 0.0)

    def arrive(self, arrival: Arrival) -> None:
        """Accept a job."""
        self.outcome.work_s += arrival.device_s
        self._wait(Job(arrival), first=False)
        self._claim()

    def advance(self, until_s: float) -> None:
        """Let everything happen that is due until a time."""
        while self._events and self._events[0][0] <= until_s:
            self.at_s, _, kind, worker, job = heapq.heappop(self._events)
            if worker.is_gone:
                continue
            if kind is Kind.READY:
                del self.starting[worker]
                self.idle[worker] = None
            elif kind is Kind.LOST:
                self.outcome.lost += worker in self.busy
                self._remove(worker)
                self._start()
            elif worker.job is job and job is not None:
                self._finish(worker, job)
            self._claim()
        self.at_s = until_s

    def scale(self, workers: int, *, idle_only: bool) -> None:
        """Start or remove workers as a Deployment does: those that are not ready leave first."""
        for _ in range(workers - self.requested):
            self._start()
        excess = self.requested - workers
        if excess <= 0:
            return
        ready = (
            list(self.idle)
            if idle_only
            else self._random.sample([*self.idle, *self.busy], len(self.idle) + len(self.busy))
        )
        for worker in [*self._leaving(idle_only=idle_only), *ready][:excess]:
            self.outcome.killed += worker in self.busy
            self._remove(worker)

    def _leaving(self, *, idle_only: bool) -> list[Worker]:
        """Order the workers that are not ready: youngest first, but stuck ones before if there is a deletion cost."""
        youngest = list(reversed(self.starting))
        if not idle_only:
            return youngest
        since_s = self.at_s - self.conditions.start_limit_s
        return sorted(youngest, key=lambda worker: worker.requested_s >= since_s)

    def close(self) -> Outcome:
        """Remove all workers and return what happened."""
        for worker in [*self.starting, *self.idle, *self.busy]:
            self._remove(worker)
        return self.outcome

    def _start(self) -> None:
        worker = Worker(self.at_s)
        self.starting[worker] = None
        conditions = self.conditions
        cold_start_s = conditions.cold_start_s * self._random.lognormvariate(0.0, conditions.cold_start_sigma)
        life_s = self._random.expovariate(1.0) * conditions.spot_life_s
        if self._random.random() >= conditions.failed_share:
            self._schedule(self.at_s + cold_start_s, Kind.READY, worker)
        if math.isfinite(life_s):
            self._schedule(self.at_s + life_s, Kind.LOST, worker)

    def _schedule(self, at_s: float, kind: Kind, worker: Worker, job: Job | None = None) -> None:
        heapq.heappush(self._events, (at_s, next(self._numbers), kind, worker, job))

    def _wait(self, job: Job, *, first: bool) -> None:
        self._waiting_s += job.predicted_s
        if first:
            self.waiting.appendleft(job)
        else:
            self.waiting.append(job)

    def _claim(self) -> None:
        while self.waiting and self.idle:
            job = self.waiting.popleft()
            self._waiting_s -= job.predicted_s
            # The last one that became idle, so that the others stay idle and may leave.
            worker, _ = self.idle.popitem()
            worker.job, worker.began_s = job, self.at_s
            self.busy[worker] = None
            self._schedule(self.at_s + job.left_s, Kind.DONE, worker, job)

    def _finish(self, worker: Worker, job: Job) -> None:
        self.outcome.waits_s.append(self.at_s - job.arrival.at_s)
        worker.job = None
        del self.busy[worker]
        self.idle[worker] = None

    def _remove(self, worker: Worker) -> None:
        for group in (self.starting, self.idle, self.busy):
            group.pop(worker, None)
        worker.is_gone = True
        self.outcome.device_s += self.at_s - worker.requested_s
        if worker.job is not None:
            self._hand_back(worker.job, self.at_s - worker.began_s)
            worker.job = None

    def _hand_back(self, job: Job, done_s: float) -> None:
        """Return a job to the head of the queue without its finished segments."""
        kept_s = done_s // self.conditions.segment_s * self.conditions.segment_s
        job.left_s = job.left_s - kept_s + self.conditions.resume_s
        job.predicted_s = max(job.predicted_s - kept_s, 0.0) + self.conditions.resume_s
        self._wait(job, first=True)


def simulate(trace: Trace, controller: Controller, conditions: Conditions, seed: int) -> Outcome:
    """Simulate a trace until its time is over and every job is finished.

    Args:
        trace: the jobs.
        controller: a new one.
        conditions: the machines.
        seed: of cold starts, failures and losses.
    """
    cluster = Cluster(conditions, seed)
    arrivals, tick_s = deque(trace.arrivals), 0.0
    while arrivals or cluster.waiting or cluster.busy or cluster.at_s < trace.length_s:
        if arrivals and arrivals[0].at_s <= tick_s:
            arrival = arrivals.popleft()
            cluster.advance(arrival.at_s)
            cluster.arrive(arrival)
            continue
        cluster.advance(tick_s)
        cluster.scale(controller.workers(cluster), idle_only=controller.idle_only)
        tick_s += controller.period_s
        if not cluster.requested and not cluster.waiting:
            # Nothing changes before the next job. Decisions stay on multiples of the period.
            until_s = arrivals[0].at_s if arrivals else trace.length_s
            tick_s = max(tick_s, math.ceil(until_s / controller.period_s) * controller.period_s)
    return cluster.close()
