"""Frames drawn from the frame store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from dubline.training.loader import FrameStore

if TYPE_CHECKING:
    from dubline.training.corpus import Clip


@pytest.mark.parametrize("block", [False, True])
def test_the_store_gathers_frames_of_several_clips(clips: list[Clip], block: bool) -> None:
    device = torch.device("cpu")
    store = FrameStore(clips, device)
    if block:
        store.block = torch.cat([torch.from_numpy(clip.frames) for clip in clips])
    taken = store.gather([2, 0, 1], [5, 79, 0])
    wanted = [clips[2].frames[5], clips[0].frames[79], clips[1].frames[0]]
    for frame, pixels in zip(taken, wanted, strict=True):
        torch.testing.assert_close(frame, torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1)
