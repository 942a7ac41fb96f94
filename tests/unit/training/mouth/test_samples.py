"""Samples of the part for mouths: stored inputs give the pixels of whole renderings; the pool draws by shares."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
import torch
from tests.unit.training.conftest import REFINED

from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage1.mouth_eye_refiner import BOXES, GRID, MouthEyeRefiner, RegionRefiner
from dubline.training.mouth import pool, samples
from dubline.training.mouth.kinds import Kind
from dubline.training.mouth.lip_registration import register_lips
from dubline.training.mouth.pool import SamplePool
from dubline.training.mouth.samples import Samples, compute_samples, in_box, render
from dubline.training.stage1.data.pairs import PairSampler
from dubline.training.stage1.losses.registration import register
from dubline.training.stage1.losses.terms import FRAMED_LANDMARKS

if TYPE_CHECKING:
    from dubline.training.corpus import Clip
    from dubline.training.stage1.data.pairs import Pairs

CPU = torch.device("cpu")


def test_a_stored_sample_gives_the_pixels_of_a_rendering(clips: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "training_autocast", lambda _: nullcontext())
    torch.manual_seed(0)
    network = Autoencoder(REFINED.autoencoder).eval()
    refiner = cast("MouthEyeRefiner", network.mouth_eye_refiner)
    pairs = PairSampler(clips, CPU).draw(2, 2)
    box = BOXES["mouth"].slices(REFINED.size_px)
    with torch.no_grad():
        untrained = render(network, pairs)[0].frame[..., *box]
        torch.nn.init.normal_(cast("RegionRefiner", refiner.boxes["mouth"]).output[-1].weight, std=0.1)
        rendered = render(network, pairs)[0].frame[..., *box]
        batch = Samples.batch(list(compute_samples(network, pairs).halves()))
    frame = batch.shown_by(refiner)
    assert (rendered - untrained).abs().max() > 0.1
    # What fp16 rounds.
    assert (frame - rendered).abs().max() < 5e-3


def test_each_driving_frame_is_rendered_and_its_target_registered(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "training_autocast", lambda _: nullcontext())
    torch.manual_seed(0)
    network = Autoencoder(REFINED.autoencoder).eval()
    pairs, rows = PairSampler(clips, CPU).draw(2, 2), BOXES["mouth"].slices(REFINED.size_px)
    batch = compute_samples(network, pairs)
    with torch.no_grad():
        for number in range(4):
            source = network.encode_source(pairs.sources[number // 2][None])
            rendering = network(source, network.encode_motion(pairs.driving[number][None]))
            torch.testing.assert_close(batch.warped[number], rendering.warped[0][..., *rows], atol=1e-4, rtol=0)
        mixed = render(network, pairs)[0].deformation.mixed
        whole = register_lips(register(pairs, mixed), mixed)
    torch.testing.assert_close(batch.target, whole.driving[..., *rows])
    torch.testing.assert_close(batch.landmarks, in_box(whole.driving_landmarks))
    assert (batch.target - pairs.driving[..., *rows]).abs().max() > 0.01


def test_pictures_are_rendered_with_other_lips_first(clips: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    class BlackTrips:
        def __init__(self, _: Autoencoder, sampler: PairSampler) -> None:
            assert all(track is not None for track in sampler.geometry)

        def __call__(self, pairs: Pairs) -> Pairs:
            assert pairs.alone.all()
            return pairs._replace(sources=torch.full_like(pairs.sources, -1))

    monkeypatch.setattr(pool, "RoundTrips", BlackTrips)
    picture = replace(clips[1], frames=clips[1].frames[:1], landmarks=clips[1].landmarks[:1], geometry=None)
    network = Autoencoder(REFINED.autoencoder).eval()
    filled = pool.fill_pool(network, [Kind([clips[0]], 0.75), Kind([picture], 0.25)], 16, CPU, 0)
    assert [len(kind) for kind in filled.kinds] == [16, 4]
    black = [[bool((one.pictures[6:9] == -1).all()) for one in kind] for kind in filled.kinds]
    assert not any(black[0])
    assert all(black[1])


def test_half_of_the_batches_are_mirrored(clips: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    def black(pairs: Pairs) -> Pairs:
        return pairs._replace(sources=torch.full_like(pairs.sources, -1))

    monkeypatch.setattr(pool, "mirrored", black)
    network = Autoencoder(REFINED.autoencoder).eval()
    (samples,) = pool.fill_pool(network, [Kind(clips, 1.0)], 16 * pool.SOURCES * pool.DRIVES, CPU, 0).kinds
    share = sum(bool((one.pictures[6:9] == -1).all()) for one in samples) / len(samples)
    assert 0.2 < share < 0.8


def test_samples_are_stored_in_half_of_the_memory(clips: list[Clip]) -> None:
    network = Autoencoder(REFINED.autoencoder).eval()
    stored = list(compute_samples(network, PairSampler(clips, CPU).draw(1, 2)).halves())
    assert len(stored) == 2
    assert {part.dtype for part in stored[0][:-1]} == {torch.float16}
    assert stored[0].landmarks.dtype == torch.float32


def test_landmarks_are_converted_to_the_box() -> None:
    rows, columns = BOXES["mouth"].slices(GRID)
    corners = torch.tensor([[columns.start, rows.start], [columns.stop, rows.stop]]) * 2 / GRID - 1
    torch.testing.assert_close(in_box(corners[None]), torch.tensor([[[-1.0, -1.0], [1.0, 1.0]]]))


def sample(gap: float, mark: float) -> Samples:
    landmarks = torch.from_numpy(FRAMED_LANDMARKS).clone()
    landmarks[[48, 54]] = torch.tensor([[-0.5, 0.0], [0.5, 0.0]])
    landmarks[[61, 62, 63]] = 0.0
    landmarks[[67, 66, 65]] = torch.tensor([0.0, gap])
    return Samples(*[torch.full((1,), mark)] * 5, landmarks)


def test_kinds_are_drawn_by_shares_whatever_their_number() -> None:
    kinds = [[sample(0.0, 1.0)], [sample(0.0, 0.0)] * 30]
    assert SamplePool(kinds, [0.25, 0.75]).draw(2000).weight.mean().item() == pytest.approx(0.25, abs=0.04)


def test_parted_targets_are_drawn_more_often() -> None:
    kind = [sample(0.0, 0.0), sample(0.15, 1.0)]
    wanted = (pool.SHUT + 1) / (2 * pool.SHUT + 1)
    assert SamplePool([kind], [1.0]).draw(2000).weight.mean().item() == pytest.approx(wanted, abs=0.04)


def test_a_seed_determines_the_batches() -> None:
    drawing = SamplePool([[sample(0.0, mark) for mark in range(9)]], [1.0])
    first = drawing.draw(6)
    drawing.seed(0)
    assert torch.equal(drawing.draw(6).weight, first.weight)
