"""The dependencies of the routes, provided by the application factory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from dubline.orchestration.database.store import Store
from dubline.orchestration.settings import LimitSettings
from dubline.orchestration.storage.objects import Objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The store, the bucket and the limits; all are thread-safe."""

    store: Store
    objects: Objects
    limits: LimitSettings


def _services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101  # set by create_app
    return services


ServicesDep = Annotated[Services, Depends(_services)]
