"""Commands of API keys: create, list, revoke, rotate. A new key is printed once, alone on standard output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dubline.orchestration.database.store import Store
from dubline.orchestration.domain.keys import DEFAULT_SCOPES, Scope
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from argparse import Namespace
    from datetime import datetime

    from dubline.orchestration.domain.keys import NewKey


def create(arguments: Namespace) -> int:
    """Create a key of a tenant, and the tenant if it is new."""
    scopes = frozenset(map(Scope, arguments.scope or ())) or DEFAULT_SCOPES
    with Store.connect(DatabaseSettings.read()) as store:
        _show(store.keys.issue(arguments.tenant, scopes, arguments.expires_s))
    return 0


def list_keys(arguments: Namespace) -> int:
    """Print the keys of a tenant, one a line."""
    with Store.connect(DatabaseSettings.read()) as store:
        keys = store.keys.list(arguments.tenant)
    sys.stdout.writelines(
        f"{key.id} scopes={','.join(sorted(key.scopes))} created={_time(key.created_at)} "
        f"expires={_time(key.expires_at)} last_used={_time(key.last_used_at)}\n"
        for key in keys
    )
    return 0


def revoke(arguments: Namespace) -> int:
    """Revoke a key."""
    with Store.connect(DatabaseSettings.read()) as store:
        store.keys.revoke(arguments.tenant, arguments.id)
    return 0


def rotate(arguments: Namespace) -> int:
    """Replace a key."""
    with Store.connect(DatabaseSettings.read()) as store:
        _show(store.keys.rotate(arguments.tenant, arguments.id, arguments.overlap_s))
    return 0


def _show(new: NewKey) -> None:
    sys.stdout.write(new.secret + "\n")
    sys.stderr.write(f"key {new.key.id} of {new.key.tenant}; it cannot be shown again\n")


def _time(at: datetime | None) -> str:
    return "never" if at is None else at.isoformat(timespec="seconds")
