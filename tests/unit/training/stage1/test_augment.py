"""Degradations: equal to the real ones, determined by the seed, independent for each frame."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from torch import Tensor

from dubline.training.stage1.data import augment, jpeg


def photograph(size_px: int = 128) -> Tensor:
    image = Image.fromarray(astronaut()[:256, 100:356]).resize((size_px, size_px))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


def detail(frames: Tensor) -> Tensor:
    return frames.diff(dim=-1).square().mean((1, 2, 3))


@pytest.mark.parametrize("quality", [15, 50, 85])
def test_jpeg_compression_matches_that_of_a_file(quality: int) -> None:
    frame = photograph()
    file = io.BytesIO()
    Image.fromarray(((frame[0].permute(1, 2, 0) + 1) * 127.5).byte().numpy()).save(file, "JPEG", quality=quality)
    truth = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None].float() / 127.5 - 1
    compressed = jpeg.compress(frame, torch.tensor([float(quality)]))
    assert (compressed - truth).square().mean() < 0.2 * (truth - frame).square().mean()


def test_jpeg_accepts_sizes_that_are_no_multiple_of_its_blocks() -> None:
    frame = photograph()[..., :100, :77]
    assert jpeg.compress(frame, torch.tensor([90.0])).shape == frame.shape


def test_a_seed_determines_the_degradations() -> None:
    frames = photograph(64).expand(16, -1, -1, -1)
    first = augment.degrade(frames, torch.Generator().manual_seed(1))
    torch.testing.assert_close(augment.degrade(frames, torch.Generator().manual_seed(1)), first, rtol=0, atol=0)
    assert not torch.equal(augment.degrade(frames, torch.Generator().manual_seed(2)), first)
    assert first.shape == frames.shape
    assert first.abs().max() <= 1
    changed = (first != frames).flatten(1).any(1)
    assert 4 <= int(changed.sum()) < 16


def test_a_frame_with_strength_zero_stays_unchanged() -> None:
    frames = photograph(64).expand(2, -1, -1, -1)
    seen = augment._on(frames, torch.tensor([0.0, 0.006]), augment.blur)
    torch.testing.assert_close(seen[0], frames[0], rtol=0, atol=0)
    assert detail(seen)[1] < 0.9 * detail(seen)[0]


def test_blur_increases_with_sigma_and_keeps_the_brightness() -> None:
    frames = photograph().expand(3, -1, -1, -1)
    seen = augment.blur(frames, torch.tensor([0.0015, 0.003, 0.006]))
    assert detail(seen).diff().max() < 0
    torch.testing.assert_close(seen.mean((1, 2, 3)), frames.mean((1, 2, 3)), atol=2e-3, rtol=0)


def test_cameras_zoom_in_further_than_out() -> None:
    cameras = augment.random_cameras(2000, torch.Generator().manual_seed(0))
    zoom = cameras[:, :, :2].det().sqrt()
    assert 0.79 < zoom.min() < 0.83
    assert 1.1 < zoom.max() < 1.13
