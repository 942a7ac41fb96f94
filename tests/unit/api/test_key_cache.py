from __future__ import annotations

from dubline.api import bad_keys, key_cache
from dubline.api.bad_keys import BadKeys
from dubline.api.key_cache import STALE_S, KeyCache
from dubline.orchestration.database.store.accounts.keys import Caller


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def caller(life_s: float | None = None) -> Caller:
    return Caller(tenant="acme", actor="key:1", life_s=life_s)


def test_a_revoked_key_is_accepted_for_ten_seconds_at_most() -> None:
    clock = Clock()
    cache = KeyCache(clock)
    cache.put("a", caller())
    clock.now_s += STALE_S - 0.1
    assert cache.get("a") is not None
    clock.now_s += 0.2
    assert cache.get("a") is None
    assert cache.knows("a")
    assert STALE_S <= 10
    cache.put("a", None)
    assert not cache.knows("a")


def test_a_cached_key_expires_on_time() -> None:
    clock = Clock()
    cache = KeyCache(clock)
    cache.put("a", caller(life_s=2.0))
    clock.now_s += 2.1
    assert cache.get("a") is None


def test_the_cache_and_the_addresses_are_bounded() -> None:
    cache, counted = KeyCache(), BadKeys()
    for number in range(key_cache.MOST_KEYS + 1):
        cache.put(str(number), caller())
    assert not cache.knows("0")
    assert cache.knows("1")
    for number in range(bad_keys.MOST_ADDRESSES + 1):
        counted.count(f"host-{number}")
    assert len(counted._full_at_s) == bad_keys.MOST_ADDRESSES
    assert "host-0" not in counted._full_at_s


def test_an_address_may_send_one_more_unknown_key_after_a_pause() -> None:
    clock = Clock()
    counted = BadKeys(clock)
    for _ in range(bad_keys.BURST):
        assert not counted.blocks("192.0.2.1")
        counted.count("192.0.2.1")
    assert counted.blocks("192.0.2.1")
    assert not counted.blocks("192.0.2.2")
    clock.now_s += bad_keys.REFILL_S
    assert not counted.blocks("192.0.2.1")
    counted.count("192.0.2.1")
    assert counted.blocks("192.0.2.1")


def test_hosts_of_one_ipv6_network_share_a_limit() -> None:
    counted = BadKeys(Clock())
    for number in range(bad_keys.BURST):
        counted.count(f"2001:db8::{number}")
    assert counted.blocks("2001:db8::ffff")
    assert not counted.blocks("2001:db8:0:1::1")
