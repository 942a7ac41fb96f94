from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dubline.framing.crop import SIDE_PER_BOX
from dubline.options.render import PRESETS, OutputOptions, RenderOptions
from dubline.orchestration.domain.cost import (
    LEAST_S,
    PRESET_S,
    PROBE_START_S,
    SQUARE_PER_FACE,
    probe_cost_s,
    render_cost_s,
)
from dubline.orchestration.domain.uploads import UploadFacts

PORTRAIT = UploadFacts(
    media_type="image/png", size_bytes=1, sha256="", width_px=512, height_px=512, face_box=(86, 86, 426, 426)
)
SPEECH = UploadFacts(media_type="audio/wav", size_bytes=1, sha256="", duration_s=60.0)


def cost_s(portrait: UploadFacts = PORTRAIT, duration_s: float = 60.0, height_px: int | None = None) -> float:
    options = RenderOptions(output=OutputOptions(height_px=height_px))
    return render_cost_s(portrait, replace(SPEECH, duration_s=duration_s), options)


def test_a_close_up_at_1080_px_costs_seven_times_a_small_video() -> None:
    assert 6 < cost_s(height_px=1080) / cost_s(height_px=128) < 8


def test_a_face_that_is_small_in_the_picture_costs_less() -> None:
    assert cost_s(replace(PORTRAIT, face_box=(200, 200, 250, 250)), height_px=1080) < cost_s(height_px=1080) / 3


@given(st.floats(0.2, 1800), st.floats(1.01, 2))
def test_the_cost_grows_with_the_speech_and_has_a_floor(duration_s: float, factor: float) -> None:
    assert LEAST_S <= cost_s(duration_s=duration_s) <= cost_s(duration_s=factor * duration_s)


def test_the_constants_cover_every_preset_and_the_crop_of_the_networks() -> None:
    assert PRESET_S.keys() == PRESETS
    assert pytest.approx(SIDE_PER_BOX) == SQUARE_PER_FACE


def test_a_probe_costs_more_for_a_larger_file() -> None:
    assert 0 < probe_cost_s(1) < probe_cost_s(100_000_000)
    # The largest file occupies a prober for less than a minute.
    assert probe_cost_s(200_000_000) == PROBE_START_S + 40
