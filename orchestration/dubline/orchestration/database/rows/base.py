"""The declarative base: column types, names of constraints, and builders of CHECK constraints."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Double, Integer, MetaData, Text, Uuid
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import UserDefinedType

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import StrEnum

    from dubline.options.option import Option


class Base(DeclarativeBase):
    """Base of every row class."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "ix": "%(table_name)s_%(column_0_name)s_idx",
            "uq": "%(table_name)s_%(column_0_name)s_key",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
    type_annotation_map: ClassVar = {
        str: Text,
        int: Integer,
        float: Double,
        UUID: Uuid,
        datetime: DateTime(timezone=True),
    }


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id, xid8."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name in SQL."""
        return "xid8"


def one_of(column: str, values: Iterable[StrEnum]) -> CheckConstraint:
    """Return a CHECK that a column has one of the values, or is NULL if it is nullable."""
    return CheckConstraint(f"{column} IN ({sql_list(values)})", name=column)


def sql_list(values: Iterable[StrEnum]) -> str:
    """Return values as a SQL list, sorted because the order of a set is not deterministic."""
    return ", ".join(f"'{value}'" for value in sorted(values))


def equivalent(name: str, condition: str, *others: str) -> CheckConstraint:
    """Return a CHECK that conditions are all true or all false. They must not be NULL: a CHECK that is NULL passes."""
    return CheckConstraint(" AND ".join(f"({condition}) = ({other})" for other in others), name=name)


def bounded(options: Iterable[Option]) -> list[CheckConstraint]:
    """Return the CHECKs of the options that have numeric bounds."""
    checks = [(one.column, one.check_sql()) for one in options]
    return [CheckConstraint(check, name=column) for column, check in checks if check is not None]
