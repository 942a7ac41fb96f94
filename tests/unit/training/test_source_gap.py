"""Training of the reading of a source's lip gap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dubline.models.motion.source_gap import SIDE_PX, mouths
from dubline.training.evaluation.landmarks.client import FaceMeasurements
from dubline.training.source_gap import sources
from dubline.training.source_gap.train import Faces, augmented, mouth_region, train


def frames_with(gaps: torch.Tensor) -> torch.Tensor:
    """Draw frames (N, 3, 256, 256) with a dark bar where a mouth is, as high as the gap in cm."""
    rows = (torch.arange(SIDE_PX) - 176).abs()[None, :] < 16 * gaps[:, None]
    columns = (torch.arange(SIDE_PX) - 128).abs() < 20
    frames = 200 - 160 * (rows[:, :, None] & columns).to(torch.uint8)
    return frames[:, None].expand(-1, 3, -1, -1)


def test_the_gap_of_drawn_mouths_is_learnt_from_few_and_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dubline.training.source_gap.train.SAMPLES", 8)
    monkeypatch.setattr("dubline.training.source_gap.train.WARM_UP_STEPS", 5)
    torch.manual_seed(0)
    kinds = [Faces(mouth_region(frames_with(gaps)), gaps) for gaps in (torch.rand(150), torch.rand(20))]
    network = train(kinds, steps=40)
    read = [float(network(frames_with(torch.tensor([gap])) / 127.5 - 1)) for gap in (0.1, 0.9)]
    assert read[0] < 0.35
    assert read[1] > 0.65


class Brightness:
    """Stands for the landmark process: the opening of a picture is its brightness when all are measured."""

    def __init__(self, *_: object) -> None:
        self.pictures, self.failure = list[Path](), ""

    def submit(self, picture: Path) -> None:
        self.pictures.append(picture)

    def finish(self, _report: object) -> dict[Path, FaceMeasurements]:
        return {path: self._measured(np.array([np.asarray(Image.open(path)).mean()])) for path in self.pictures}

    @staticmethod
    def _measured(opening: np.ndarray) -> FaceMeasurements:
        return FaceMeasurements(opening, opening, opening, opening, None)


def test_portraits_with_one_name_have_gaps_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skimage = pytest.importorskip("skimage.data")
    monkeypatch.setattr(sources, "LandmarkClient", Brightness)
    face, paths = skimage.astronaut(), [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"]
    for path, picture in zip(paths, (face, face // 2), strict=True):
        path.parent.mkdir()
        Image.fromarray(picture).save(path)
    collected = sources.Sources(tmp_path / "out")
    collected.add_portraits(paths)
    (portraits,) = collected.kinds()
    bright, dark = portraits.gaps.tolist()
    assert dark < 0.7 * bright


def test_samples_show_what_is_read() -> None:
    torch.manual_seed(0)
    frames = frames_with(torch.full((64,), 0.5))
    samples = augmented(mouth_region(frames).float() / 255)
    whole = mouths(frames / 127.5 - 1)
    assert samples.shape == whole.shape
    correlation = torch.corrcoef(torch.stack([samples.mean((0, 1)).flatten(), whole.mean((0, 1)).flatten()]))[0, 1]
    assert correlation > 0.7
    assert samples.std(0).min() > 0.01, "no two samples are alike"
