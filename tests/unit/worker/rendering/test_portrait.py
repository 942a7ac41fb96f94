from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.unit.worker import stub_networks

from dubline.framing.face import FaceBox
from dubline.options.render import MotionControls
from dubline.worker.rendering.portrait import Portrait, prepare, prepare_framed

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture
def still(noise: np.random.Generator) -> NDArray[np.uint8]:
    return noise.integers(0, 256, (160, 120, 3), dtype=np.uint8)


def prepared(still: NDArray[np.uint8], face: FaceBox) -> Portrait:
    models: Any = stub_networks.StubModels()
    return prepare(models.get("base"), still, face, 0.0, models.device)


def test_a_head_at_the_edge_moves_less(still: NDArray[np.uint8]) -> None:
    asked = MotionControls(head_motion=0.8, blink=1.5, expression=0.5)
    free = prepared(still, FaceBox(50, 60, 70, 80)).possible(asked)
    cramped = prepared(still, FaceBox(0, 0, 100, 100)).possible(asked)
    assert free == asked
    assert cramped == MotionControls(head_motion=0.4, blink=1.5, expression=0.5)


def test_a_portrait_whose_eyes_cannot_be_shut_does_not_blink(
    still: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    portrait = prepared(still, FaceBox(50, 60, 70, 80))
    monkeypatch.setattr(portrait.source.networks, "can_blink", lambda _source: False)
    assert portrait.possible(MotionControls()) == MotionControls(blink=0.0)


def test_a_framed_picture_is_animated_as_a_whole(still: NDArray[np.uint8]) -> None:
    models: Any = stub_networks.StubModels()
    portrait = prepare_framed(models.get("base"), still[:120], models.device)
    assert portrait.compositor.size == (120, 120)
    assert portrait.head_room == 1
    assert portrait.source.source.network_frame.shape[-2:] == (128, 128)
