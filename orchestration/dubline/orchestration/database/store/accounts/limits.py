"""The limits that are set for single tenants: columns of `tenants`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text, update

from dubline.orchestration.database.rows import TenantRow
from dubline.orchestration.domain.errors import NotFoundError
from dubline.orchestration.domain.quotas import TenantLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

_NAMES: Final = tuple(field.name for field in fields(TenantLimits))
#: Columns of a query that reads `tenants`.
COLUMNS: Final = ", ".join(f"tenants.{name}" for name in _NAMES)
_SELECT: Final = text(f"SELECT {COLUMNS} FROM tenants WHERE name = :tenant")  # noqa: S608 - our own text


def limits_of(row: Any) -> TenantLimits:
    """Create the limits from a row with `COLUMNS`."""
    return TenantLimits(**{name: getattr(row, name) for name in _NAMES})


def read(session: Session, tenant: str) -> TenantLimits:
    """Read the limits of a tenant.

    Raises:
        NotFoundError: there is no such tenant.
    """
    row = session.execute(_SELECT, {"tenant": tenant}).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no tenant {tenant!r}.")
    return limits_of(row)


def change(session: Session, tenant: str, values: Mapping[str, float | None]) -> TenantLimits:
    """Set some limits of a tenant; return all.

    Raises:
        NotFoundError: there is no such tenant.
    """
    unknown = set(values) - set(_NAMES)
    if unknown:
        raise ValueError(f"there are no limits {sorted(unknown)}")
    session.execute(update(TenantRow).where(TenantRow.name == tenant).values(values))
    return read(session, tenant)
