"""Training of the articulation extractor alone."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import SMALL

from dubline.models.motion.readout import LinearReadout
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage2.audio_encoder import LocalExtractor
from dubline.models.stage2.diffusion import Diffusion
from dubline.models.weights import RELEASED, Networks, load_networks
from dubline.training.cli_errors import UsageError
from dubline.training.stage2.articulation import ArticulationHead, ArticulationSampler, LabelledSpeech
from dubline.training.stage2.encoded_clips import EncodedClip, Recording
from dubline.training.stage2.extractor import __main__ as command
from dubline.training.stage2.extractor import loss as extractor_loss
from dubline.training.stage2.extractor.gap_sampler import GapSampler, SpeakingLips
from dubline.training.stage2.extractor.loss import ExtractorLoss
from dubline.training.stage2.extractor.train import train
from dubline.training.stage2.spoken_gap_head import SpokenGapHead

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.training.corpus import Clip

PARAMS = SMALL.diffusion
CPU = torch.device("cpu")
FRAMES = 90


def recording(speed: float = 1.0) -> Recording:
    return Recording(torch.randn(4 * int((FRAMES - 1) / speed + 1), 80).half(), 2.0, speed)


def clip(name: str, *, labelled: bool) -> EncodedClip:
    latents, appearance = torch.randn(FRAMES, SMALL.autoencoder.motion).half(), torch.zeros(FRAMES // 5, 64).half()
    return EncodedClip(
        name, latents, appearance, (recording(), recording(1.1)), torch.rand(FRAMES) if labelled else None
    )


def lips(gap: torch.Tensor, *speeds: float) -> SpeakingLips:
    return SpeakingLips(tuple(recording(speed) for speed in speeds), gap)


@pytest.fixture
def speech() -> list[LabelledSpeech]:
    torch.manual_seed(0)
    return [LabelledSpeech(recording(), torch.rand(FRAMES, 5)) for _ in range(3)]


@pytest.fixture
def networks() -> Networks:
    torch.manual_seed(1)
    readout = LinearReadout(PARAMS.whitened, PARAMS.audio_width)
    readout.weight.normal_()
    readout.spoken_gap.normal_()
    made = Networks(SMALL, Autoencoder(SMALL.autoencoder), Diffusion(SMALL), readout, sha256="")
    for network in made.parts.values():
        network.eval().requires_grad_(requires_grad=False)
    return made


@pytest.fixture
def _few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("SPEECH_WINDOWS", 3), ("LABELLED_WINDOWS", 2), ("RECORDED_WINDOWS", 2)):
        monkeypatch.setattr(extractor_loss, name, count)


@pytest.mark.usefixtures("_few_windows")
def test_nothing_but_the_extractor_changes(networks: Networks, speech: list[LabelledSpeech], tmp_path: Path) -> None:
    clips = [clip("rig-1", labelled=True), clip("anna-1", labelled=False)]
    before = {key: tensor.clone() for key, tensor in networks.diffusion.state_dict().items()}
    train(networks, clips, speech, tmp_path, steps=2)
    after = networks.diffusion.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    # In half precision small changes of values near 1 are lost.
    assert len(changed) > 5
    assert all(key.startswith("articulation_extractor.") for key in changed)
    assert not any(parameter.requires_grad for parameter in networks.diffusion.parameters())
    state = torch.load(tmp_path / "extractor.pt", weights_only=True)
    train(networks, clips, speech, tmp_path, steps=1, resume=True)
    resumed = torch.load(tmp_path / "extractor.pt", weights_only=True)
    assert (state["steps"], resumed["steps"]) == (2, 3)
    assert resumed["companions"]["articulation_head"]["steps"] == 3


def test_clips_of_one_kind_are_refused(networks: Networks, speech: list[LabelledSpeech], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="recordings of people"):
        train(networks, [clip("rig-1", labelled=True)], speech, tmp_path, steps=1)


@pytest.mark.usefixtures("_few_windows")
def test_the_distance_to_the_former_output_costs_if_asked(speech: list[LabelledSpeech]) -> None:
    torch.manual_seed(0)
    extractor, gap_head = LocalExtractor(PARAMS), SpokenGapHead(PARAMS.audio_width, CPU)
    articulation_head = ArticulationHead(ArticulationSampler(speech, PARAMS), PARAMS.audio_width, CPU)
    clips = GapSampler([lips(torch.rand(FRAMES), 1.0)], np.ones(1), PARAMS)
    free, held = (ExtractorLoss(extractor, clips, clips, articulation_head, gap_head, weight) for weight in (0.0, 3.0))
    assert "distance" not in free()
    assert held()["distance"].item() < 1e-9
    with torch.no_grad():
        extractor.norm.bias += 0.5
    figures = held()
    assert figures["distance"].item() == pytest.approx(0.25, rel=1e-3)
    learnt = figures["gap"] + extractor_loss.MOUTH_WEIGHT * figures["mouth"]
    assert figures["loss"].item() == pytest.approx((learnt + 3 * figures["distance"]).item())


def test_the_gap_follows_the_speed_of_the_recording() -> None:
    gap = torch.arange(FRAMES).float()
    for speed in (0.9, 1.1):
        slices, gaps = GapSampler([lips(gap, speed)], np.ones(1), PARAMS).draw(3)
        assert slices.shape == (3, 4 * (PARAMS.window + PARAMS.previous + 2 * PARAMS.margin), 80)
        torch.testing.assert_close(gaps.diff(dim=1), torch.full((3, PARAMS.window - 1), speed), atol=1e-3, rtol=0)


def test_clips_are_drawn_by_their_weights_and_short_recordings_left_out() -> None:
    clips = [lips(torch.full((FRAMES,), float(n)), 1.0, 3.0) for n in range(2)]
    sampler = GapSampler(clips, np.array([3.0, 1.0]), PARAMS)
    assert [len(each.recordings) for each in sampler.clips] == [1, 1]
    assert sampler.draw(400)[1].mean().item() == pytest.approx(0.25, abs=0.07)
    with pytest.raises(UsageError, match="frames with speech"):
        GapSampler([lips(torch.rand(FRAMES), 3.0)], np.ones(1), PARAMS)


@pytest.mark.usefixtures("_few_windows")
def test_the_command_rewrites_weights(
    clips: list[Clip], speech: list[LabelledSpeech], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [replace(each, frames=each.frames[:70], name=f"{n}-1") for n, each in enumerate(clips[:2])]
    given[1] = replace(given[1], geometry=None)
    monkeypatch.setattr(command, "find_clips", lambda *_, **__: [])
    monkeypatch.setattr(command, "stream_corpus", lambda *_, **__: iter(given))
    monkeypatch.setattr(command, "read_labelled_speech", lambda _: speech)
    weights = tmp_path / "released"
    shutil.copytree(RELEASED / "tiny", weights / "tiny")
    options = ["--speech", "speech", "--preset", "tiny", "--weights", str(weights), "--minutes", "0.001"]
    monkeypatch.setattr(sys, "argv", ["extractor", "clips", *options, "--out", str(tmp_path)])
    command.main()
    before, after = load_networks("tiny", CPU), load_networks("tiny", CPU, weights)
    assert after.readout.spoken_gap.any()
    assert torch.equal(before.readout.weight, after.readout.weight)
    former = before.diffusion.articulation_extractor.state_dict()
    assert not all(
        torch.equal(former[key], tensor) for key, tensor in after.diffusion.articulation_extractor.state_dict().items()
    )
