"""Articulation supervision: reading of labelled speech, sampling of windows, and the auxiliary head."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from dubline.models.presets import DiffusionParams
from dubline.models.stage2.audio_encoder import LocalExtractor
from dubline.training.stage2.articulation import ArticulationHead, ArticulationSampler, read_labelled_speech
from dubline.training.stage2.spoken_gap_head import SpokenGapHead

if TYPE_CHECKING:
    from pathlib import Path

PARAMS = DiffusionParams(
    whitened=16, width=48, layers=2, heads=2, audio_width=32, audio_layers=1, style=8, state=16, head_width=16
)


def write_speech(folder: Path, name: str, seed: int, frames: int = 80) -> None:
    """Write a tone that is loud while the mouth is open."""
    random = np.random.default_rng(seed)
    opening = np.abs(np.sin(np.arange(frames) / random.uniform(3, 6))).astype(np.float32)
    tone = np.sin(2 * np.pi * random.uniform(150, 300) * np.arange(frames * 640) / 16_000)
    with wave.open(str(folder / f"{name}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((8000 * tone * np.repeat(opening, 640)).astype("<i2").tobytes())
    tracks = {"expression": np.stack([opening] * 3, 1), "lip_shut": 1 - opening, "aperture_mm": 10 * opening}
    np.savez(folder / f"{name}.npz", **tracks)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("speech")
    for seed in range(4):
        write_speech(made, f"{seed}", seed)
    write_speech(made, "short", 9, frames=30)
    return made


def test_mouth_motion_is_aligned_with_the_speech_of_a_window(folder: Path) -> None:
    sampler = ArticulationSampler(read_labelled_speech(folder), PARAMS)
    slices, mouth, recorded = sampler.draw(6)
    frames = PARAMS.previous + PARAMS.window
    assert slices.shape == (6, 4 * (frames + 2 * PARAMS.margin), 80)
    assert mouth.shape == (6, frames, 5)
    loudness = slices[:, 4 * PARAMS.margin : -4 * PARAMS.margin].unflatten(1, (frames, 4)).amax((2, 3))
    rows = zip(loudness, mouth[..., -1], recorded.bool(), strict=True)
    correlations = [float(torch.corrcoef(torch.stack([loud[known], gap[known]]))[0, 1]) for loud, gap, known in rows]
    # The median, because some voices are augmented into noise.
    assert np.median(correlations) > 0.8


def test_a_seed_determines_the_windows_and_short_speech_is_left_out(folder: Path) -> None:
    sampler = ArticulationSampler(read_labelled_speech(folder), PARAMS)
    assert len(sampler.recordings) == 4
    sampler.seed(3)
    first = sampler.draw(2)
    sampler.seed(3)
    assert torch.equal(first.mouth, sampler.draw(2).mouth)
    sampler.seed(4)
    assert not torch.equal(first.mouth, sampler.draw(2).mouth)


def test_the_extractor_learns_mouth_motion_and_the_head_is_restored(folder: Path) -> None:
    torch.manual_seed(0)
    sampler = ArticulationSampler(read_labelled_speech(folder), PARAMS)
    extractor = LocalExtractor(PARAMS)
    articulation_head = ArticulationHead(sampler, PARAMS.audio_width, torch.device("cpu"))
    optimiser = torch.optim.AdamW(extractor.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss = articulation_head.loss(extractor, 4)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        articulation_head.step(5e-4)
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:3])
    again = ArticulationHead(sampler, PARAMS.audio_width, torch.device("cpu"))
    again.load_state_dict(articulation_head.state_dict())
    assert torch.equal(again.head.weight, articulation_head.head.weight)


def test_labelled_speech_trains_the_reading_of_the_gap(folder: Path) -> None:
    torch.manual_seed(0)
    sampler = ArticulationSampler(read_labelled_speech(folder), PARAMS)
    extractor, gap_head = LocalExtractor(PARAMS), SpokenGapHead(PARAMS.audio_width, torch.device("cpu"))
    articulation_head = ArticulationHead(sampler, PARAMS.audio_width, torch.device("cpu"))

    def seeded() -> ArticulationSampler:
        torch.manual_seed(1)
        sampler.seed(5)
        return sampler

    slices, mouth, _ = seeded().draw(4)
    gap = mouth[:, PARAMS.previous :, -1] * sampler.std[-1] + sampler.mean[-1]
    read = gap_head.loss(extractor(slices), gap.clamp_min(0))
    seeded()
    without = articulation_head.loss(extractor, 4)
    seeded()
    assert torch.allclose(articulation_head.loss(extractor, 4, gap_head), without + read)


def test_a_folder_without_speech_is_refused_and_corrupt_files_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileNotFoundError, match=r"no sound beside a NAME\.npz"):
        read_labelled_speech(tmp_path)
    write_speech(tmp_path, "good", 1)
    write_speech(tmp_path, "broken", 2)
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    assert len(read_labelled_speech(tmp_path)) == 1
    assert "broken.wav" in capsys.readouterr().err
