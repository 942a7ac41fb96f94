"""The command line with the whole service."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import av

from dubline.orchestration.domain.keys import Scope

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Dubline

FPS = 25


def duration_s(speech: Path) -> float:
    """Return the duration of the decoded audio; headers may be inaccurate."""
    with av.open(speech) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def test_submit_renders_a_video_as_long_as_the_speech(
    dubline: Dubline, demo: Path, short_speech: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ben.mp4"
    files = ("--portrait", demo / "portraits/ben.jpg", "--speech", short_speech, "--out", out)
    done = dubline("submit", *files, "--preset", "tiny")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "ben.mp4: uploading"
    assert done.stdout.splitlines()[-2].startswith("ben.mp4: done")

    with av.open(out) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert video.average_rate == FPS
        frames = sum(1 for _ in container.decode(video))
        assert audio.duration
        assert audio.time_base
        audio_s = float(audio.duration * audio.time_base)
    assert abs(frames / FPS - duration_s(short_speech)) <= 1 / FPS
    assert abs(frames / FPS - audio_s) <= 1 / FPS
    assert frames >= math.floor(duration_s(short_speech) * FPS)


def test_submit_of_a_file_that_is_not_an_image_prints_the_reason(dubline: Dubline, demo: Path, tmp_path: Path) -> None:
    fake = tmp_path / "fake.jpg"
    fake.write_bytes(b"not a picture at all")
    done = dubline("submit", "--portrait", fake, "--speech", demo / "speech/english.mp3")
    assert done.returncode == 1
    assert done.stderr.startswith("not_an_image: ")
    assert "Traceback" not in done.stderr


def test_the_key_of_a_stack_may_try_every_command_and_page(dubline: Dubline) -> None:
    (listed,) = dubline("keys", "list").stdout.splitlines()
    scopes = re.search(r"scopes=(\S+)", listed)
    assert scopes is not None
    assert set(scopes[1].split(",")) == set(Scope)
    created = dubline("keys", "create", "--scope", "read")
    assert (created.returncode, len(created.stdout.split())) == (0, 1)
    key_id = created.stderr.split()[1].rstrip(";")
    assert dubline("keys", "revoke", key_id).returncode == 0
