from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dubline.framing import faces
from dubline.framing.face import FaceBox
from dubline.framing.points import Reading

if TYPE_CHECKING:
    from collections.abc import Callable

PIXELS = np.zeros((300, 300, 3), np.uint8)
BOX = FaceBox(100, 100, 200, 200)
UPRIGHT = np.array([[130, 130], [170, 130], [150, 152], [136, 172], [164, 172]], np.float32)


def reads(face: float, flipped: float, mouth: float = 0.99) -> Callable[..., Reading]:
    """Return a network that is so sure of the face upright, and of one upside down if its box is higher."""

    def read(_pixels: Any, box: FaceBox, tilt_deg: float = 0.0) -> Reading:
        if abs(tilt_deg) < 90:
            return Reading(UPRIGHT, (1.0, 1.0), 0.5, face)
        sure = flipped if box.top < 80 else 0.1
        return Reading(np.array([300, 260], np.float32) - UPRIGHT, (1.0, 1.0), mouth, sure)

    return read


@pytest.mark.parametrize(
    ("network", "tilt_deg"),
    [
        (reads(0.98, 0.9999), 180),
        (reads(0.9999, 0.98), 0),
        (reads(0.98, 0.9999, mouth=0.5), 0),
        (reads(0.98, 0.1), 0),
        (reads(0.2, 0.4), 0),
    ],
)
def test_a_face_is_upside_down_if_the_network_is_surer_of_it(
    monkeypatch: pytest.MonkeyPatch, network: Callable[..., Reading], tilt_deg: float
) -> None:
    monkeypatch.setattr(faces, "read", network)
    assert abs(faces._right_way_up(PIXELS, BOX).tilt_deg) == pytest.approx(tilt_deg, abs=1)
