"""Random walks through a state machine of Hypothesis, and what its rules share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from dubline.orchestration.domain.errors import LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

T = TypeVar("T")
#: What rules choose with `pick`.
NUMBERS = st.integers(0, 3)


def pick(found: Iterable[T], number: int) -> T:
    """Return one of the last four."""
    listed = list(found)
    return listed[-1 - number % len(listed)]


def table(columns: str, name: str) -> str:
    """Return the SQL expression of all rows of a table as one JSON value."""
    return f"(SELECT coalesce(json_agg(json_build_array({columns})), '[]') FROM {name})"  # noqa: S608 - our own text


def accepts(write: Callable[[Store, Lease], object], store: Store, lease: Lease) -> bool:
    """Execute a write; return whether the lease is valid."""
    try:
        write(store, lease)
    except LeaseLostError:
        return False
    return True


def walk(machine: type[RuleBasedStateMachine], walks: int) -> None:
    """Walk through a machine so many times."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=walks,
            stateful_step_count=32,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
