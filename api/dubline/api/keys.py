"""Routes of API keys of the caller's tenant. They need the scope `admin`."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Response

from dubline.api import deletion
from dubline.api.auth import Actor, Authenticated, Tenant
from dubline.api.bodies import BodyRoute
from dubline.api.openapi import problems
from dubline.api.schemas.keys import KeyAnswer, KeyCreated, KeyList, KeyRequest, RotationRequest
from dubline.api.services import ServicesDep
from dubline.orchestration.domain.keys import TENANT_SCOPES

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=BodyRoute)

_PATTERN: Final = "^[0-9a-f]{12}$"
KeyId = Annotated[str, Path(pattern=_PATTERN, description="Id of the key.", examples=["9f86d081884c"])]


@router.post("", status_code=201, summary="Create an API key")
def create_key(request: KeyRequest, tenant: Tenant, actor: Actor, services: ServicesDep) -> KeyCreated:
    """Create a key of the caller's tenant. `secret` is in this response only."""
    return KeyCreated.to(services.store.keys.issue(tenant, request.scopes, request.expires_s, actor))


@router.get("", summary="List the API keys")
def list_keys(tenant: Tenant, services: ServicesDep) -> KeyList:
    """Return the keys of the caller's tenant, expired ones included, without their secrets."""
    return KeyList(data=[KeyAnswer.of(key) for key in services.store.keys.list(tenant)])


@router.post("/{key_id}/rotate", status_code=201, summary="Rotate an API key", responses=problems(404))
def rotate_key(key_id: KeyId, request: RotationRequest, caller: Authenticated, services: ServicesDep) -> KeyCreated:
    """Create a key with the scopes and the expiry of another one. Both are valid for `overlap_s` seconds."""
    may_give = TENANT_SCOPES | caller.scopes
    return KeyCreated.to(services.store.keys.rotate(caller.tenant, key_id, request.overlap_s, caller.actor, may_give))


@router.delete("/{key_id}", summary="Revoke an API key", **deletion.route(404))
def revoke_key(key_id: KeyId, tenant: Tenant, actor: Actor, services: ServicesDep) -> Response:
    """Revoke a key. Servers accept it for at most 10 seconds more."""
    return deletion.response(services.store.keys.revoke(tenant, key_id, actor))
