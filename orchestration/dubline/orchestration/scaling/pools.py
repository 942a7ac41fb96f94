"""How the waiting work of each preset is divided between the pools that render it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dubline.orchestration.scaling.policy import Policy


def divide(
    device_s: Mapping[tuple[str, str], float], pools: Sequence[Policy], blocked: frozenset[str] = frozenset()
) -> dict[tuple[str, str], float]:
    """Give each preset's work to the pools that render it for the least money, up to what they can work off in time.

    A pool has room for `ceiling * target_s` device seconds. What no pool has room for stays with the cheapest one that
    may have workers, so no work is left out.

    Args:
        device_s: predicted device seconds of a preset's waiting jobs by pool and preset, as if the pool did all.
        pools: the policies.
        blocked: names of the pools whose workers do not become ready at present. They get work only if no other pool
            with workers renders the preset, and pools with a ceiling of 0 only if there are no others at all.

    Returns:
        The share of the preset's work, from 0 to 1, by pool and preset. The shares of a preset that any pool renders
        add up to 1.
    """
    room_s = {pool.pool: pool.ceiling * pool.target_s for pool in pools}
    presets = {preset: _by_price(preset, device_s, pools, blocked) for preset in sorted({name for _, name in device_s})}
    shares: dict[tuple[str, str], float] = {}
    # A preset with one pool has no alternative, so it is placed first.
    for preset in sorted(presets, key=lambda name: len(presets[name])):
        left = 1.0
        for pool in presets[preset]:
            needed_s = device_s[pool, preset]
            share = min(left, room_s[pool] / needed_s) if needed_s > 0 else left
            shares[pool, preset] = share
            room_s[pool] -= share * needed_s
            left -= share
        if presets[preset]:
            shares[presets[preset][0], preset] += left
    return shares


def _by_price(
    preset: str, device_s: Mapping[tuple[str, str], float], pools: Sequence[Policy], blocked: frozenset[str]
) -> list[str]:
    """Sort the pools that render a preset by the money it costs there; if possible without closed and blocked ones."""
    able = [pool for pool in pools if preset in pool.presets and (pool.pool, preset) in device_s]
    able = [pool for pool in able if pool.ceiling] or able
    able = [pool for pool in able if pool.pool not in blocked] or able
    return [pool.pool for pool in sorted(able, key=lambda pool: pool.price_per_hour * device_s[pool.pool, preset])]
