"""Schemas of API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from dubline.api.schemas.fields import RequestModel, ResponseModel
from dubline.orchestration.domain.keys import LIFE_MAX_S, OVERLAP_S, ApiKey, NewKey, Scope

#: Scopes that a tenant gives to its keys.
TenantScope = Literal[Scope.SUBMIT, Scope.READ, Scope.DELETE, Scope.ADMIN]


class KeyRequest(RequestModel):
    """A key to create."""

    scopes: frozenset[TenantScope] = Field(
        default=frozenset({Scope.SUBMIT, Scope.READ, Scope.DELETE}),
        min_length=1,
        description="submit: POST. read: GET. delete: DELETE. admin: keys and the audit log.",
        examples=[["read", "submit"]],
    )
    expires_s: int | None = Field(
        default=None, strict=True, ge=1, le=LIFE_MAX_S, description="Seconds until it expires; null: never."
    )


class RotationRequest(RequestModel):
    """A rotation."""

    overlap_s: int = Field(
        default=OVERLAP_S, strict=True, ge=0, le=LIFE_MAX_S, description="Seconds for which both keys are valid."
    )


class KeyAnswer(ResponseModel):
    """One key, without its secret."""

    id: str = Field(description="Audit entries name the key `key:` and this id.", examples=["9f86d081884c"])
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="With a resolution of a minute.")

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """Build the schema of a key."""
        return cls.model_validate(_fields(key))


class KeyCreated(KeyAnswer):
    """A new key."""

    secret: str = Field(description="The key. It cannot be read again.")

    @classmethod
    def to(cls, new: NewKey) -> Self:
        """Build the schema of a new key."""
        return cls.model_validate({**_fields(new.key), "secret": new.secret})


class KeyList(ResponseModel):
    """The keys of a tenant."""

    data: list[KeyAnswer]


def _fields(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }
