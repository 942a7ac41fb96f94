from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.worker import media_files as media

from dubline.client.runs.video_mark import job_named_in
from dubline.orchestration.domain.errors import EncoderFailedError
from dubline.worker.media import audio, mark, mux, track
from dubline.worker.media.container import identify
from dubline.worker.rendering import motion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIDE = 64


def frames(count: int, first: int = 0) -> Iterator[np.ndarray]:
    """Make frames with a bright bar that moves by two px per frame."""
    for number in range(first, first + count):
        frame = np.full((SIDE * 3 // 2, SIDE), 128, dtype=np.uint8)
        column = 2 * number % SIDE
        frame[:SIDE] = 50
        frame[:SIDE, column : column + 8] = 158
        yield frame


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]


def facts(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as file:
        video, audio = file.streams.video[0], file.streams.audio[0]
        return {
            "rate": video.average_rate,
            "video_s": float(video.duration * video.time_base),
            "audio_s": float(audio.duration * audio.time_base),
            "codecs": (video.codec_context.name, audio.codec_context.name),
            "pixels": video.codec_context.pix_fmt,
            "channels": audio.codec_context.channels,
            "colour": (
                video.codec_context.color_range,
                video.codec_context.colorspace,
                video.codec_context.color_primaries,
                video.codec_context.color_trc,
            ),
            "times": [packet.pts for packet in file.demux(video) if packet.pts is not None],
        }


def made(folder: Path, speech: Path, lengths: list[int]) -> Path:
    parts = []
    for number, length in enumerate(lengths):
        parts.append(folder / f"segment-{number}.mp4")
        assert mux.encode_segment(frames(length, sum(lengths[:number])), SIDE, SIDE, parts[-1]) == length
    path = folder / "video.mp4"
    file = media.opened(speech)
    decoding, duration_s = audio.both(file, identify(file), 16_000, mux.AUDIO_HZ), sum(lengths) / mux.FPS
    sound = (part for part in decoding.parts if part.dtype == np.int32)
    mux.encode_sound(sound, decoding.channels, folder / "sound.mp4", duration_s)
    mux.join(parts, folder / "sound.mp4", path, duration_s)
    return path


@pytest.fixture
def long_speech(tmp_path: Path) -> Path:
    return media.wav(tmp_path / "speech.wav", media.tone(3.0))


def test_joined_segments_contain_every_frame_once_at_25_fps(tmp_path: Path, long_speech: Path) -> None:
    path = made(tmp_path, long_speech, [32, 32, 11])
    pictures = decoded(path)
    assert len(pictures) == 75
    bars = [int(picture.mean(0).argmax()) // 2 for picture in pictures]
    assert all(abs((bar - number) % 32) <= 4 for number, bar in enumerate(bars))
    times = facts(path)["times"]
    assert set(np.diff(times)) == {times[1] - times[0]}


def test_a_joined_video_is_close_to_one_encoded_as_a_whole(tmp_path: Path, long_speech: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = decoded(made(tmp_path / "whole", long_speech, [75]))
    parts = decoded(made(tmp_path, long_speech, [40, 35]))
    worst = max(np.abs(a.astype(int) - b.astype(int)).mean() for a, b in zip(whole, parts, strict=True))
    assert worst < 2


def test_segments_begin_with_a_key_frame_and_have_no_b_frames(tmp_path: Path) -> None:
    path = tmp_path / "segment.mp4"
    mux.encode_segment(frames(20), SIDE, SIDE, path)
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.pts is not None]
    assert packets[0].is_keyframe
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets]


def test_the_same_frames_give_the_same_bytes(tmp_path: Path, long_speech: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (made(tmp_path / name, long_speech, [30, 45]).read_bytes() for name in ("a", "b"))
    assert first == second


def test_the_video_can_be_played_by_browsers(tmp_path: Path, long_speech: Path) -> None:
    path = made(tmp_path, long_speech, [75])
    found = facts(path)
    assert found["codecs"] == ("h264", "aac")
    assert found["rate"] == 25
    assert found["pixels"] == "yuv420p"
    assert found["colour"] == (1, 1, 1, 1)  # limited range, BT.709 thrice
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@settings(max_examples=12)
@given(seconds=st.floats(0.2, 4.0), rate_hz=st.sampled_from([8_000, 11_025, 12_345, 44_100, 48_000]))
def test_video_and_audio_agree_within_a_frame(
    tmp_path_factory: pytest.TempPathFactory, seconds: float, rate_hz: int
) -> None:
    folder = tmp_path_factory.mktemp("lengths")
    speech = media.wav(folder / "speech.wav", media.tone(seconds, rate_hz), rate_hz)
    count = motion.frame_count(track.measure(media.opened(speech), 0.1, 60).duration_s, mux.FPS)
    found = facts(made(folder, speech, [count]))
    assert found["video_s"] == pytest.approx(count / 25)
    assert abs(found["video_s"] - found["audio_s"]) <= 0.04
    assert abs(seconds - found["audio_s"]) <= 0.04


@pytest.mark.parametrize(
    ("suffix", "options", "channels"),
    [
        ("mp3", (), 1),
        ("flac", ("-ac", "2"), 2),
        ("ogg", ("-c:a", "libvorbis", "-ac", "2"), 2),
        ("m4a", ("-ac", "6", "-ar", "48000"), 2),
        ("wav", ("-ac", "6", "-ar", "12345", "-c:a", "pcm_f32le"), 2),
        ("aac", (), 1),
    ],
)
def test_speech_of_any_format_becomes_mono_or_stereo(
    tmp_path: Path, suffix: str, options: tuple[str, ...], channels: int
) -> None:
    source = media.wav(tmp_path / "source.wav", media.tone(1.2))
    speech = media.convert(source, tmp_path / f"speech.{suffix}", *options)
    count = motion.frame_count(track.measure(media.opened(speech), 0.1, 60).duration_s, mux.FPS)
    found = facts(made(tmp_path, speech, [count]))
    assert found["channels"] == channels
    assert abs(found["video_s"] - found["audio_s"]) <= 0.04


@pytest.mark.parametrize("name", media.CONCATENATIONS)
def test_concatenated_speech_has_continuous_timestamps(tmp_path: Path, name: str) -> None:
    speech = media.concatenated(tmp_path, name, media.CONCATENATIONS[name])
    measured = track.measure(media.opened(speech), 0.1, 60).duration_s
    path = made(tmp_path, speech, [motion.frame_count(measured, mux.FPS)])
    found = facts(path)
    assert abs(found["video_s"] - found["audio_s"]) <= 0.04
    assert abs(found["audio_s"] - measured) <= 0.04
    with av.open(str(path)) as file:
        times = [packet.pts for packet in file.demux(audio=0) if packet.pts is not None]
    assert set(np.diff(times)) == {1024}


def test_speech_keeps_its_position_in_time(tmp_path: Path) -> None:
    samples = np.zeros(48_000)
    samples[24_000:25_600] = media.tone(0.1)
    path = made(tmp_path, media.wav(tmp_path / "beep.wav", samples), [75])
    with av.open(str(path)) as file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    assert np.flatnonzero(np.abs(sound) > 0.08)[0] / 48_000 == pytest.approx(1.5, abs=0.01)


def test_sound_that_is_longer_than_the_video_is_cut(tmp_path: Path, long_speech: Path) -> None:
    assert facts(made(tmp_path, long_speech, [25]))["audio_s"] == pytest.approx(1, abs=0.03)


def test_a_missing_segment_is_an_encoder_failure(tmp_path: Path) -> None:
    with pytest.raises(EncoderFailedError, match="exit code") as caught:
        mux.join([tmp_path / "segment.mp4"], tmp_path / "sound.mp4", tmp_path / "video.mp4", 0.2)
    assert str(tmp_path) not in caught.value.detail


def test_the_mark_is_a_tag_of_the_video_and_repeats_its_bytes(tmp_path: Path) -> None:
    assert mux.encode_segment(frames(5, 0), SIDE, SIDE, tmp_path / "segment.mp4") == 5
    text = mark.of_job(UUID(int=7), datetime(2026, 11, 29, 8, 30, tzinfo=UTC))
    videos = []
    mux.encode_sound([np.zeros((mux.AUDIO_HZ // 5, 1), np.int32)], 1, tmp_path / "sound.mp4", 0.2)
    for name in ("first.mp4", "second.mp4"):
        mux.join([tmp_path / "segment.mp4"], tmp_path / "sound.mp4", tmp_path / name, 0.2, mark=text)
        videos.append((tmp_path / name).read_bytes())
    assert videos[0] == videos[1]
    with av.open(tmp_path / "first.mp4") as container:
        comment = container.metadata["comment"]
    assert comment == text
    assert job_named_in(tmp_path / "first.mp4") == str(UUID(int=7))
    assert comment.startswith("This video is synthetic.")
    assert comment.endswith("accepted=2026-11-29T08:30:00Z job=00000000-0000-0000-0000-000000000007")
