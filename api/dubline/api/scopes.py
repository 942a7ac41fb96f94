"""Which scope of an API key a request needs: one rule for all routes, so that a new route cannot be forgotten."""

from __future__ import annotations

from typing import Final

from dubline.orchestration.domain.keys import Scope

#: Below these paths every request needs the scope `admin`.
ADMIN_PATHS: Final = ("/v1/keys", "/v1/audit")
#: Below this path every request needs the scope `scaling`, because the numbers are those of all tenants.
SCALING_PATHS: Final = ("/v1/scaling",)
#: Below these paths a POST reads only.
READING_PATHS: Final = ("/v1/verifications",)


def needed(method: str, path: str) -> Scope:
    """Return the scope that a request needs."""
    if _is_below(path, ADMIN_PATHS):
        return Scope.ADMIN
    if _is_below(path, SCALING_PATHS):
        return Scope.SCALING
    if method in {"GET", "HEAD", "OPTIONS"} or _is_below(path, READING_PATHS):
        return Scope.READ
    return Scope.DELETE if method == "DELETE" else Scope.SUBMIT


def _is_below(path: str, parents: tuple[str, ...]) -> bool:
    return any(path == parent or path.startswith(f"{parent}/") for parent in parents)
