from __future__ import annotations

from dataclasses import asdict
from typing import get_type_hints

import dubline.client
from dubline.client.calls import controls as client
from dubline.models.motion import controls as models
from dubline.orchestration.domain.controls import LIMITS, USUAL


def test_the_networks_know_the_same_controls() -> None:
    assert asdict(models.USUAL) == asdict(USUAL)
    assert list(LIMITS.items()) == list(models.MOST.items())
    assert list(asdict(USUAL)) == list(LIMITS)


def test_the_client_knows_the_same_controls() -> None:
    hints = get_type_hints(client.Controls, include_extras=True)
    assert set(asdict(dubline.client.Controls())) == set(LIMITS)
    for name, most in LIMITS.items():
        assert f"Le(le={most})" in str(hints[name]), name
