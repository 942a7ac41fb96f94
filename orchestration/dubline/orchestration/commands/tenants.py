"""Commands of tenants: set and show limits."""

from __future__ import annotations

import sys
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from dubline.orchestration.database.store import Store
from dubline.orchestration.domain.quotas import TenantLimits
from dubline.orchestration.settings import DatabaseSettings, LimitSettings

if TYPE_CHECKING:
    from argparse import Namespace


def set_limits(arguments: Namespace) -> int:
    """Set limits of a tenant, and print all of them."""
    given = {field.name: getattr(arguments, field.name) for field in fields(TenantLimits)}
    values = {name: None if value == "default" else value for name, value in given.items() if value is not None}
    with Store.connect(DatabaseSettings.read()) as store:
        if values:
            store.tenants.set_limits(arguments.tenant, values)
    return show(arguments)


def show(arguments: Namespace) -> int:
    """Print the limits of a tenant, and what it holds."""
    with Store.connect(DatabaseSettings.read()) as store:
        own, held = store.tenants.limits(arguments.tenant), store.tenants.holdings(arguments.tenant)
    in_force = LimitSettings.read().of_tenant(own)
    for name, value in asdict(in_force).items():
        origin = "default" if getattr(own, name) is None else "own"
        sys.stdout.write(f"{name}={'none' if value is None else f'{value:.15g}'} ({origin})\n")
    sys.stdout.write(f"held: jobs={held.jobs} speech_s={held.speech_s:.15g} stored_bytes={held.stored_bytes}\n")
    return 0
