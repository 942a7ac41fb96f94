from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from dubline.framing import points
from dubline.training.corpus import Clip
from dubline.training.face_points.coverings import visible
from dubline.training.face_points.labelled_faces import CUT_PX, CUT_SHOWN, LabelledFaces, cut, of_clips, placed
from dubline.training.face_points.network import PointsNetwork
from dubline.training.face_points.sampler import Sampler
from dubline.training.face_points.train import loss_of

#: The astronaut's eyes, nose and corners of the mouth, px.
FIVE = np.array([[204, 106], [242, 104], [224, 128], [207, 146], [242, 145]], np.float32)


@pytest.fixture
def sampler() -> Sampler:
    pixels, five = cut(data.astronaut(), FIVE)
    return Sampler([LabelledFaces(pixels[None], five[None])], [data.coffee()], seed=0)


def test_the_exported_network_computes_the_same_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = PointsNetwork()
    with torch.no_grad():
        network(torch.rand(8, 3, 64, 64))
    exported = {name: value.astype(np.float32) for name, value in network.eval().exported().items()}
    monkeypatch.setattr(points, "load", lambda: exported)
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    expected = network(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)[0].detach().numpy()
    assert points._compute(picture) == pytest.approx(expected, abs=5e-3)


def test_a_cut_shows_the_face_in_its_middle() -> None:
    _, five = cut(data.astronaut(), FIVE)
    centre, side = placed(five)
    assert centre == pytest.approx((CUT_PX / 2, CUT_PX / 2), abs=0.01)
    assert side == pytest.approx(CUT_PX / CUT_SHOWN, abs=0.01)


def test_landmarks_of_clips_become_five_points() -> None:
    landmarks = np.zeros((3, 68, 2), np.float32)
    for corners, (x, y) in zip(((36, 39), (42, 45), (30,), (48,), (54,)), FIVE, strict=True):
        landmarks[:, list(corners)] = np.array([x, y]) / 256 - 1
    frames = np.repeat(data.astronaut()[None], 3, 0)
    clip = Clip(
        "one",
        "speech",
        heldout=False,
        frames=frames,
        speech=np.zeros(0, np.float32),
        landmarks=landmarks,
        geometry=None,
        aperture_mm=None,
    )
    faces = of_clips([clip], 2)
    assert len(faces) == 2
    assert faces.points[0] == pytest.approx(cut(data.astronaut(), FIVE - 0.5)[1], abs=0.6)


def test_a_covered_mouth_has_no_visible_share() -> None:
    five = FIVE - FIVE.mean(0) + 32
    hidden = np.zeros((64, 64), bool)
    hidden[round(float(five[3, 1])) - 14 :] = True
    assert visible(five, hidden).tolist() == [1, 1, 0]
    assert visible(five, ~hidden).tolist() == [0, 0, 1]


def test_samples_are_pictures_and_their_points_lie_on_the_face(sampler: Sampler) -> None:
    samples = [sampler.draw() for _ in range(40)]
    assert {one.is_face for one in samples} == {0.0, 1.0}
    for one in samples:
        assert one.picture.shape == (64, 64, 3)
        assert (one.picture.min() >= 0, one.picture.max() <= 1) == (True, True)
        if one.is_face:
            assert np.abs(one.points).max() < 0.5


def test_training_on_one_batch_lowers_its_loss(sampler: Sampler) -> None:
    torch.manual_seed(0)
    network, samples = PointsNetwork(), [sampler.draw() for _ in range(16)]
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3)
    losses = []
    for _ in range(12):
        losses.append(loss_of(network, samples))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.7 * losses[0]
