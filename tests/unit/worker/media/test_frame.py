from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dubline.worker.media import frame


@pytest.mark.parametrize(
    ("portrait", "video"),
    [
        ((512, 512), (512, 512)),
        ((511, 333), (512, 332)),
        ((4000, 3000), (1440, 1080)),
        ((3000, 4000), (1080, 1440)),
        ((6000, 2000), (1920, 640)),
        ((1080, 1920), (1080, 1920)),
    ],
)
def test_a_video_has_the_size_of_its_portrait_up_to_full_hd(portrait: tuple[int, int], video: tuple[int, int]) -> None:
    assert frame.size(*portrait) == video


@given(width=st.integers(48, 50_000), height=st.integers(48, 50_000))
def test_sides_are_even_and_bounded(width: int, height: int) -> None:
    size = frame.size(width, height)
    assert all(side % 2 == 0 and side >= 2 for side in size)
    assert min(size) <= frame.SHORT_SIDE_PX
    assert max(size) <= frame.LONG_SIDE_PX


def test_the_still_frame_has_the_size_of_the_video() -> None:
    assert frame.still(Image.new("RGB", (2161, 1001))).shape == (890, 1920, 3)
