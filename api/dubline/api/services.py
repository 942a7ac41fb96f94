"""What the routes work with, handed to them by the composition root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from dubline.orchestration.database.store import Store
from dubline.orchestration.settings import LimitSettings
from dubline.orchestration.storage.objects import Objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The machinery behind the API; every part is safe to use from several threads."""

    store: Store
    objects: Objects
    limits: LimitSettings


def _services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101  # create_app put it there
    return services


Wired = Annotated[Services, Depends(_services)]
