"""The route of usage."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from dubline.api.auth import Tenant
from dubline.api.schemas.fields import IsoDay
from dubline.api.schemas.usage import UsageAnswer, UsageList
from dubline.api.services import ServicesDep
from dubline.orchestration.domain.errors import InvalidRequestError
from dubline.orchestration.domain.usage import PERIOD_DAYS, PERIOD_MAX_DAYS

router = APIRouter(prefix="/v1/usage", tags=["usage"])

FirstDay = Annotated[IsoDay | None, Query(description=f"First day in UTC; default: {PERIOD_DAYS} days with the last.")]
LastDay = Annotated[IsoDay | None, Query(description="Last day, included; default: today.")]


@router.get("", summary="Get the usage")
def get_usage(tenant: Tenant, services: ServicesDep, first: FirstDay = None, last: LastDay = None) -> UsageList:
    """Return what the jobs took that became final in a period, by day and preset. Deleted jobs are included."""
    last = last or datetime.now(UTC).date()
    first = first or date.fromordinal(max(1, last.toordinal() - PERIOD_DAYS + 1))
    days = (last - first).days + 1
    if days < 1:
        raise InvalidRequestError(f"`first` is {first} and after `last`, {last}. Exchange them, or leave one out.")
    if days > PERIOD_MAX_DAYS:
        raise InvalidRequestError(
            f"The period has {days} days. Use at most {PERIOD_MAX_DAYS}; set `last` if it is open."
        )
    rows = services.store.usage.of_tenant(tenant, first, last)
    return UsageList(first=first, last=last, data=[UsageAnswer.of(row) for row in rows])
