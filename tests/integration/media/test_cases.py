"""Files of real programs, in the folder that `DUBLINE_TEST_CASES` names; its README says what is right for each."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.unit.worker import media_files as media

from dubline.models.motion.silence import MARGIN_FRAMES, RAMP_FRAMES, silence
from dubline.models.speech.recording import Recording
from dubline.orchestration.domain.errors import BadInputError
from dubline.orchestration.domain.uploads import UploadFacts, UploadKind
from dubline.orchestration.settings import LimitSettings
from dubline.worker.media import audio, image, probe
from dubline.worker.media.container import identify

CASES = Path(os.environ.get("DUBLINE_TEST_CASES", "-"))
#: What each file is; or its code, and a word of its sentence.
PORTRAITS = {
    "png_itxt_1500k.png": "image/png",
    "jpeg_no_eoi.jpg": "image/jpeg",
    "jpeg_named.png": "image/jpeg",
    "webp_saved_as.jpg": "image/webp",
    "phone_50mp_6144x8160.jpg": "image/jpeg",
    "icc_adobe_green.jpg": "image/jpeg",
    "icc_wide_prophoto.jpg": "image/jpeg",
    "animated_fade_in.webp": "image/webp",
    "heic_renamed.jpg": "not_an_image HEIC",
}
SOUNDS = {
    "tts_concat.wav": "not_audio several",
    "wav_hdr_2000000000.wav": "audio/wav",
    "wav_hdr_1000000000.wav": "audio/wav",
    "out_of_phase.wav": "audio/wav",
    "junk_before_mp3.mp3": "audio/mpeg",
    "m4a_renamed.mp3": "audio/mp4",
    "mp3_renamed.wav": "audio/mpeg",
    "adts_named.m4a": "audio/aac",
    "mediarecorder.webm": "audio/webm",
    "quiet40.wav": "audio/wav",
    "music_speech_music.wav": "audio/wav",
}
#: Durations in s that are not 1.6.
DURATIONS_S = {"music_speech_music.wav": 4.6}
#: The pictures that files with a profile show.
TRUE_COLOURS = {"icc_adobe_green.jpg": "adobe_green_true.png", "icc_wide_prophoto.jpg": "jpeg_named.png"}

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="DUBLINE_TEST_CASES does not name a folder of cases")

#: Frames on either side of a sound in which lips may be parted.
REACH = MARGIN_FRAMES + RAMP_FRAMES


def probed(name: str, kind: UploadKind, expected: str) -> UploadFacts | None:
    """Probe a file in its process and compare its type or its error with what is expected."""
    code, _, word = expected.partition(" ")
    if not word:
        facts = probe.probe(CASES / name, kind, LimitSettings())
        assert facts.media_type == code
        return facts
    with pytest.raises(BadInputError, match=word) as caught:
        probe.probe(CASES / name, kind, LimitSettings())
    assert caught.value.code == code
    return None


@pytest.mark.parametrize("name", PORTRAITS)
def test_a_portrait_of_a_user(name: str) -> None:
    facts = probed(name, UploadKind.PORTRAIT, PORTRAITS[name])
    assert facts is None or facts.face_box is not None


@pytest.mark.parametrize("name", SOUNDS)
def test_a_recording_of_a_user(name: str) -> None:
    facts = probed(name, UploadKind.SPEECH, SOUNDS[name])
    assert facts is None or facts.duration_s == pytest.approx(DURATIONS_S.get(name, 1.6), abs=0.05)


def silent(name: str) -> np.ndarray:
    """Return the weight of silence of each frame of a recording."""
    with (CASES / name).open("rb") as file:
        samples = list(audio.samples(file, identify(file), 16_000))
    recording = Recording(lambda: iter(samples), sum(map(len, samples)) // 640 * 4)
    for _ in recording.measure():
        pass
    weight: np.ndarray = silence(torch.cat(list(recording.normalised()))[None])[0].numpy()
    return weight


def test_the_mouth_is_shut_before_and_after_the_voice() -> None:
    weight = silent("music_speech_music.wav")
    # The voice sounds from frame 36 to 82. Lips may part .3 s before it and shut .3 s after it.
    assert weight[: 36 - REACH].min() > 0.9
    assert weight[82 + REACH :].min() > 0.9
    assert weight[42:74].mean() < 0.1


@pytest.mark.parametrize("name", ["out_of_phase.wav", "quiet40.wav"])
def test_a_voice_that_is_hard_to_find_moves_the_lips(name: str) -> None:
    assert silent(name)[5:35].mean() < 0.3


@pytest.mark.parametrize("name", TRUE_COLOURS)
def test_the_colours_of_a_portrait_of_a_user_are_right(name: str) -> None:
    shown = np.asarray(image.load(media.opened(CASES / name), 10**6).picture).astype(int)
    with Image.open(CASES / TRUE_COLOURS[name]) as true:
        assert np.abs(shown - np.asarray(true.convert("RGB"))).mean() <= 2.5
