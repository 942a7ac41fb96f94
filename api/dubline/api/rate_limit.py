"""Response headers of the rate limit: RateLimit and RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers-11."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.errors import RateLimitedError
from dubline.orchestration.domain.rates import WINDOW_S, Counted, burst

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Name of the policy in both headers.
POLICY: Final = "requests"


def headers(counted: Counted, per_s: float) -> Mapping[str, str]:
    """Return the headers of a response.

    `q` requests may be sent in `w` seconds; `r` may follow now, and in `t` seconds `q` may.
    """
    requests = math.floor(burst(per_s))
    window_s = max(WINDOW_S, math.ceil(requests / per_s))
    return {
        "RateLimit-Policy": f'"{POLICY}";q={requests};w={window_s}',
        "RateLimit": f'"{POLICY}";r={counted.remaining};t={math.ceil(counted.full_s)}',
    }


def refusal(counted: Counted) -> RateLimitedError:
    """Return the error of a request that is not allowed."""
    error = RateLimitedError()
    error.retry_after_s = max(1, math.ceil(counted.wait_s))
    return error
