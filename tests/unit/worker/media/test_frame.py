from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dubline.framing.face import FaceBox
from dubline.orchestration.domain.errors import FaceTooSmallError
from dubline.orchestration.domain.video_size import LONG_SIDE_PX, SHORT_SIDE_PX
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
    assert min(size) <= SHORT_SIDE_PX
    assert max(size) <= LONG_SIDE_PX


def test_the_still_frame_has_the_size_of_the_video() -> None:
    assert frame.still(Image.new("RGB", (2161, 1001))).shape == (890, 1920, 3)


@pytest.mark.parametrize(
    ("portrait", "height_px", "video"),
    [
        ((512, 512), 128, (128, 128)),
        ((512, 512), 720, (720, 720)),
        ((3000, 4000), 1080, (810, 1080)),
        ((333, 511), 256, (166, 256)),
        ((6000, 2000), 720, (1920, 640)),
    ],
)
def test_a_video_has_the_chosen_height_unless_it_is_too_wide(
    portrait: tuple[int, int], height_px: int, video: tuple[int, int]
) -> None:
    assert frame.size(*portrait, height_px) == video
    assert frame.still(Image.new("RGB", portrait), height_px).shape == (video[1], video[0], 3)


@given(width=st.integers(48, 50_000), height=st.integers(48, 50_000), half_px=st.integers(64, 540))
def test_sides_of_a_chosen_height_are_even_and_bounded(width: int, height: int, half_px: int) -> None:
    across, down = frame.size(width, height, 2 * half_px)
    assert across % 2 == down % 2 == 0
    assert across <= LONG_SIDE_PX
    assert down == 2 * half_px or (down < 2 * half_px and across == LONG_SIDE_PX)


def test_a_face_that_is_too_small_at_the_chosen_height_is_refused() -> None:
    face = FaceBox(200, 200, 300, 300)
    assert frame.face_in_video(face, 512, 512).side == 100
    assert frame.face_in_video(face, 512, 512, 256).side == 50
    with pytest.raises(FaceTooSmallError, match="25 px wide"):
        frame.face_in_video(face, 512, 512, 128)
