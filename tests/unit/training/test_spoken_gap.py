"""The lip gap that speech determines is fitted to clips, whatever their persons' faces are."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from dubline.models.motion.readout import LinearReadout
from dubline.models.weights import RELEASED, load_networks
from dubline.training import spoken_gap
from dubline.training.cli_errors import UsageError
from dubline.training.spoken_gap import GAIN, PARTING_CM, fit_spoken_gap, main
from dubline.training.stage2.encoded_clips import EncodedClip, EncodedCorpus, Recording, write_cache

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 6
FRAMES = 70


def fitted(clips: list[tuple[Tensor, Tensor]], silent: Tensor) -> LinearReadout:
    readout = LinearReadout(4, WIDTH)
    readout.spoken_gap.copy_(fit_spoken_gap(clips, [1 / len(clips)] * len(clips), silent))
    return readout


def test_the_gap_of_speech_is_found_again_with_the_gain() -> None:
    torch.manual_seed(0)
    weight = torch.randn(WIDTH)
    # Each face adds an offset of its own.
    clips = [(speech, speech @ weight + offset) for offset, speech in enumerate(torch.randn(8, 400, WIDTH))]
    readout = fitted(clips, torch.zeros(5, WIDTH))
    speech = torch.randn(100, WIDTH)
    spoken = readout.gap_spoken(speech)
    assert spoken is not None
    assert torch.corrcoef(torch.stack([spoken, speech @ weight]))[0, 1] > 0.99
    shrunk = 1 / (1 + spoken_gap.RIDGE)
    assert abs(float(spoken.std() / (speech @ weight).std()) / (GAIN * shrunk) - 1) < 0.1


def test_lips_are_nearly_closed_in_silence() -> None:
    torch.manual_seed(1)
    silent = torch.full((5, WIDTH), 0.7)
    speech = torch.randn(500, WIDTH)
    spoken = fitted([(speech, speech[:, 0] + 3)], silent).gap_spoken(silent)
    assert spoken is not None
    torch.testing.assert_close(spoken, torch.full((5,), PARTING_CM))


def test_speech_determines_no_gap_without_a_fit() -> None:
    assert LinearReadout(4, WIDTH).gap_spoken(torch.zeros(3, WIDTH)) is None


def clip_of(name: str, size: int, gap: Tensor | None) -> EncodedClip:
    recording = Recording(torch.randn(4 * FRAMES, 80).half(), 2.0, 1.0)
    latents = torch.randn(FRAMES, size).half()
    return EncodedClip(name, latents, torch.zeros(FRAMES // 5, 64).half(), (recording,), gap)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "released"
    shutil.copytree(RELEASED / "tiny", folder / "tiny")
    given = [str(tmp_path / "encoded.pt"), "--preset", "tiny", "--weights", str(folder)]
    monkeypatch.setattr(sys, "argv", ["spoken_gap", *given])
    return folder


def test_the_command_adds_the_reading_to_weights(weights: Path, tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    size = load_networks("tiny", cpu, weights).preset.autoencoder.motion
    clips = [clip_of("rig-1", size, torch.rand(FRAMES)), clip_of("anna-1", size, None)]
    write_cache(tmp_path / "encoded.pt", "0", EncodedCorpus(("rig", "anna"), clips, []))
    before = load_networks("tiny", cpu, weights).diffusion.state_dict()
    main()
    after = load_networks("tiny", cpu, weights)
    assert after.readout.spoken_gap.any()
    assert all(torch.equal(before[key], tensor) for key, tensor in after.diffusion.state_dict().items())


def test_clips_of_another_preset_are_refused(weights: Path, tmp_path: Path) -> None:
    assert weights.exists()
    write_cache(tmp_path / "encoded.pt", "0", EncodedCorpus(("rig",), [clip_of("rig-1", 7, torch.rand(FRAMES))], []))
    with pytest.raises(UsageError, match="another preset"):
        main()
