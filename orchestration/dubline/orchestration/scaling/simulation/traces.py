"""Traces: when jobs arrive and how much work they are.

Each trace of a kind has its own load and its own length of speech, so that a setting chosen on some traces meets
others. The rates of the presets are assumptions, see docs/capacity.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: Seconds in which jobs arrive, and the longer time that is simulated at least.
ARRIVALS_S: Final = 24 * 3600.0
LENGTH_S: Final = ARRIVALS_S + 2 * 3600.0
#: Device seconds for a second of speech.
RATES: Final[Mapping[str, float]] = {"base": 2.0, "tiny": 0.25}
#: Standard deviation of the logarithm of the speech's length.
SPEECH_SIGMA: Final = 0.8
#: Standard deviation of the logarithm of predicted / true device seconds.
PREDICTION_SIGMA: Final = 0.25
#: Coefficient of variation of the gaps between the arrivals of a bursty trace.
BURSTY_CV: Final = 12.0
#: Longest job, so that every job can be finished within an hour of its arrival on a worker that must be started.
JOB_MAX_S: Final = 1500.0
BATCH_MAX_S: Final = 40 * 3600.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job."""

    at_s: float
    device_s: float
    """Seconds of device time that it needs."""
    predicted_s: float
    """What the service predicts when the job is accepted."""
    preset: str


@dataclass(frozen=True, slots=True)
class Trace:
    """The jobs of about a day in the order of their arrival."""

    arrivals: tuple[Arrival, ...]
    length_s: float


def generate(kind: str, seed: int) -> Trace:
    """Generate a trace.

    Args:
        kind: one of `KINDS`.
        seed: equal seeds give equal traces.
    """
    random = Random(f"{kind} {seed}")  # noqa: S311 - not for secrets
    arrivals = sorted(KINDS[kind](random), key=lambda arrival: arrival.at_s)
    return Trace(tuple(arrivals), LENGTH_S)


def _job(random: Random, at_s: float, preset: str, speech_s: float) -> Arrival:
    drawn_s = random.lognormvariate(math.log(speech_s), SPEECH_SIGMA) * RATES[preset]
    device_s = min(drawn_s, JOB_MAX_S)
    return Arrival(at_s, device_s, predicted_s(random, device_s), preset)


def predicted_s(random: Random, device_s: float) -> float:
    """Draw a prediction. Its mean is the true value, as rates learned from finished jobs give it."""
    return device_s * random.lognormvariate(-(PREDICTION_SIGMA**2) / 2, PREDICTION_SIGMA)


def _speech_s(random: Random) -> float:
    """Draw the median length of the speech of one trace."""
    return random.choice((15.0, 30.0, 60.0, 90.0))


def _work_s(speech_s: float) -> float:
    """Return the mean device seconds of a job of the preset BASE."""
    return speech_s * RATES["base"] * math.exp(SPEECH_SIGMA**2 / 2)


def _bursty(random: Random) -> Iterator[Arrival]:
    """Arrivals whose gaps are short with a large probability and else long: a hyperexponential distribution."""
    speech_s, devices = _speech_s(random), random.uniform(2.0, 6.0)
    gap_s = _work_s(speech_s) / devices
    # With short gaps near zero, the squared coefficient of variation is 2 / share - 1.
    share = 2.0 / (BURSTY_CV**2 + 1.0)
    at_s = random.expovariate(share / gap_s)
    while at_s < ARRIVALS_S:
        yield _job(random, at_s, "base", speech_s)
        at_s += random.expovariate(share / gap_s) if random.random() < share else random.expovariate(100.0 / gap_s)


def _batches(random: Random) -> Iterator[Arrival]:
    """Bulk batches every few hours, beside single jobs."""
    speech_s = _speech_s(random)
    at_s = random.uniform(0.0, 3600.0)
    while at_s < ARRIVALS_S:
        left_s = min(random.lognormvariate(math.log(8 * 3600.0), 0.8), BATCH_MAX_S)
        while left_s > 0:
            job = _job(random, at_s, "base", speech_s)
            left_s -= job.device_s
            yield job
        at_s += random.expovariate(1.0 / (5 * 3600.0))
    yield from _poisson(random, lambda _: 0.3, speech_s)


def _diurnal(random: Random) -> Iterator[Arrival]:
    """Single jobs, many by day and few by night."""
    peak, speech_s = random.uniform(6.0, 16.0), _speech_s(random)
    yield from _poisson(
        random, lambda at_s: peak * (0.04 + 0.96 * math.sin(math.pi * at_s / ARRIVALS_S) ** 4), speech_s
    )


def _mixed(random: Random) -> Iterator[Arrival]:
    """Two presets whose shares change by the hour, single jobs and batches of up to a few hundred."""
    speech_s = _speech_s(random)
    at_s = 0.0
    while at_s < ARRIVALS_S:
        preset = random.choice(("base", "tiny"))
        count = 1 if random.random() < 0.7 else round(random.lognormvariate(math.log(80.0), 0.8))  # noqa: PLR2004
        for _ in range(count):
            yield _job(random, at_s, preset, speech_s)
        at_s += random.expovariate(1.0 / 600.0)


def _poisson(random: Random, devices: Callable[[float], float], speech_s: float) -> Iterator[Arrival]:
    """Single jobs whose work occupies, on average, so many devices at each time."""
    highest = max(devices(ARRIVALS_S * step / 100.0) for step in range(101))
    at_s = 0.0
    while True:
        at_s += random.expovariate(highest / _work_s(speech_s))
        if at_s >= ARRIVALS_S:
            return
        if random.random() * highest < devices(at_s):
            yield _job(random, at_s, "base", speech_s)


KINDS: Final[Mapping[str, Callable[[Random], Iterator[Arrival]]]] = {
    "bursty": _bursty,
    "batches": _batches,
    "diurnal": _diurnal,
    "mixed": _mixed,
}
