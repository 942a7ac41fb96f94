"""The dependencies of the routes, provided by the application factory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from dubline.api.etas import Etas
from dubline.orchestration.database.store import Store
from dubline.orchestration.rates import Rates
from dubline.orchestration.scaling.policy import Policy
from dubline.orchestration.settings import LimitSettings
from dubline.orchestration.storage.objects import Objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The store, the bucket and the limits, which are thread-safe, and the counts of requests."""

    store: Store
    objects: Objects
    limits: LimitSettings
    rates: Rates = field(default_factory=Rates)
    pools: tuple[Policy, ...] = ()
    """The pools that are scaled; none: those that have workers."""
    etas: Etas = field(init=False)

    def __post_init__(self) -> None:
        """Create what the services share."""
        object.__setattr__(self, "etas", Etas(self.store))


def _services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101  # set by create_app
    return services


ServicesDep = Annotated[Services, Depends(_services)]
