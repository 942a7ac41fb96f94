"""Pictures are animated for the evaluation as the worker animates them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from dubline.framing import crop
from dubline.models.weights import Networks, load_networks
from dubline.training.evaluation.generation.animation import Animation, to_rgb
from dubline.training.evaluation.generation.portrait import Portrait, cut_portrait
from dubline.worker.rendering.full_size import planes
from dubline.worker.rendering.portrait import prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def networks() -> Networks:
    return load_networks("tiny", CPU)


@pytest.fixture
def portrait(astronaut: Image.Image) -> Portrait:
    found = cut_portrait("astronaut", astronaut.convert("RGB").crop((60, 0, 390, 331)))
    assert found is not None
    return found


def frames_of(animation: Animation, motion: torch.Tensor) -> NDArray[np.uint8]:
    return np.concatenate(list(animation.render(motion, blinks=True)))


def test_frames_are_those_of_the_worker(networks: Networks, portrait: Portrait) -> None:
    animation = Animation(networks, portrait.still, portrait.face_in_still)
    motion = animation.sample_motion(np.zeros(4000, np.float32), 3).float()
    mine = frames_of(animation, motion)
    prepared = prepare(networks, portrait.still, portrait.face_in_still, 0.0, CPU)
    crops = prepared.compositor.enlarge(prepared.source.fields_of(motion))
    whole = [to_rgb(one) for one in prepared.compositor.frames([crops])]
    square = crop.around(portrait.face_in_still)
    assert np.array_equal(mine, [crop.cut(one, square) for one in whole])
    assert mine.shape[1:] == portrait.picture.shape


def test_a_grey_portrait_stays_grey(networks: Networks, portrait: Portrait) -> None:
    grey = np.repeat(portrait.still.mean(axis=2, keepdims=True).round().astype(np.uint8), 3, axis=2)
    animation = Animation(networks, grey, portrait.face_in_still)
    frames = frames_of(animation, animation.sample_motion(np.zeros(4000, np.float32), 2)).astype(int)
    assert (frames.max(axis=3) - frames.min(axis=3)).max() <= 4


def test_a_framed_picture_is_shown_as_a_whole(networks: Networks, portrait: Portrait) -> None:
    animation = Animation(networks, portrait.picture)
    (frame,) = frames_of(animation, animation.source.motion)
    assert frame.shape == portrait.picture.shape
    assert np.abs(frame.astype(int) - portrait.picture).mean() < 6


def test_pixels_of_the_encoder_become_the_picture_again() -> None:
    picture = np.full((8, 12, 3), (200, 40, 90), np.uint8)
    split, frame = planes.split(picture), planes.Frame(8, 12)
    frame.luma[:], frame.chroma[:] = planes.rounded(split.luma), planes.rounded(split.chroma).transpose(2, 0, 1)
    assert np.abs(to_rgb(frame.buffer).astype(int) - picture).max() <= 2
