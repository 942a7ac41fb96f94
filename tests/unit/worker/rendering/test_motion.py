from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.worker import stub_networks

from dubline.models.layers import resize
from dubline.options.render import MotionControls
from dubline.worker.rendering import motion
from dubline.worker.rendering.motion import PreparedSource

if TYPE_CHECKING:
    from pathlib import Path


@given(samples=st.integers(1, 10**8), rate_hz=st.sampled_from([8_000, 12_345, 16_000, 44_100, 48_000]))
def test_video_is_longer_than_speech_by_less_than_a_frame(samples: int, rate_hz: int) -> None:
    frames = motion.frame_count(samples / rate_hz, 25)
    assert frames >= 1
    assert -0.001 <= frames - 25 * samples / rate_hz < 1


@pytest.mark.parametrize(("seconds", "frames"), [(1.0, 25), (11.000000000000076, 275), (1.0401, 27), (0.2, 5)])
def test_a_rounding_error_adds_no_frame(seconds: float, frames: int) -> None:
    assert motion.frame_count(seconds, 25) == frames


@given(frames=st.integers(1, 5000), batch=st.integers(1, 50))
def test_segments_cover_every_frame_once_and_start_on_a_batch(frames: int, batch: int) -> None:
    spans = motion.segments(frames, batch)
    assert list(chain.from_iterable(spans)) == list(range(frames))
    assert all(span.start % batch == 0 for span in spans)
    assert all(len(span) == motion.segment_frames(batch) for span in spans[:-1])


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch, noise: np.random.Generator) -> PreparedSource:
    monkeypatch.setattr(motion, "sample_motion", stub_networks.sample_motion)
    crop = noise.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    models: Any = stub_networks.StubModels()
    return PreparedSource.from_crop(models.get("tiny"), crop, models.device)


@pytest.mark.parametrize("side", [64, 128, 144, 400])
def test_bands_of_rows_are_encoded_as_the_whole_crop(
    side: int, noise: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    crop = noise.integers(0, 256, (side, side, 3), dtype=np.uint8)
    models: Any = stub_networks.StubModels()
    whole = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1
    rows, interpolate = [], motion.F.interpolate
    monkeypatch.setattr(
        motion.F, "interpolate", lambda of, *by, **how: rows.append(of.shape[2]) or interpolate(of, *by, **how)
    )
    bands = PreparedSource.from_crop(models.get("tiny"), crop, models.device).source.network_frame
    monkeypatch.undo()
    assert torch.equal(bands, resize(whole, 128, 128))
    # Full width only in bands.
    assert side <= 128 or max(rows[:-1]) == motion.BAND_ROWS


def voice() -> Any:
    return iter([np.linspace(-1, 1, 16_000, dtype=np.float32)] * 3)


def test_motion_is_stored_in_half_precision_and_counted(tmp_path: Path, prepared: PreparedSource) -> None:
    controls = MotionControls(head_motion=0.5)
    assert list(prepared.store_motion(voice, 70, 5, tmp_path / "m.npy", controls)) == [30, 60, 70]
    stored = np.load(tmp_path / "m.npy")
    assert (stored.dtype, stored.shape) == (np.float16, (70, 4))
    assert (stored[:, 1] == 5).all()
    assert (stored[:, 2] == 0.5).all()
    assert stored[:, 0].any()


def test_the_first_frames_can_be_read_while_later_ones_are_sampled(tmp_path: Path, prepared: PreparedSource) -> None:
    path, read = tmp_path / "m.npy", []
    for done in prepared.store_motion(voice, 70, 5, path):
        mapped = np.load(path, mmap_mode="r")
        assert mapped.shape == (70, 4)
        read.append(np.array(mapped[:done]))
    for part in read:
        assert np.array_equal(part, np.load(path)[: len(part)])


def test_too_few_latents_are_an_error(
    tmp_path: Path, prepared: PreparedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(motion, "sample_motion", lambda *_, **__: iter([torch.zeros(3, 4, dtype=torch.float16)]))
    with pytest.raises(RuntimeError, match="3 motion latents were sampled for 10"):
        list(prepared.store_motion(voice, 10, 0, tmp_path / "m.npy"))


def moved(prepared: PreparedSource, path: Path, span: range) -> torch.Tensor:
    return torch.cat([prepared.fields(path, frames).displacement for frames in motion.batches(span, 8)])


def test_segments_rendered_in_any_order_equal_the_whole(tmp_path: Path, prepared: PreparedSource) -> None:
    path = tmp_path / "m.npy"
    list(prepared.store_motion(voice, 70, 0, path))
    whole = moved(prepared, path, range(70))
    late, early = (moved(prepared, path, span) for span in (range(32, 70), range(32)))
    assert torch.equal(torch.cat([early, late]), whole)


def test_no_batch_is_larger_than_requested(tmp_path: Path, prepared: PreparedSource) -> None:
    path = tmp_path / "m.npy"
    list(prepared.store_motion(voice, 21, 0, path))
    assert motion.batches(range(8, 29), 8) == [range(8, 16), range(16, 24), range(24, 29)]
    assert [len(prepared.fields(path, frames).displacement) for frames in motion.batches(range(6), 4)] == [4, 2]
