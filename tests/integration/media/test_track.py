from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests import memory
from tests.unit.worker import media_files as media

from dubline.orchestration.domain.errors import (
    MediaTruncatedError,
    NotAudioError,
    SpeechSilentError,
    SpeechTooLongError,
    SpeechTooShortError,
)
from dubline.worker.media import audio, container, track
from dubline.worker.media.loudness import Loudness

# Suffix -> options of ffmpeg, and the tolerance in s by which the codec's frames round the duration.
FORMATS: dict[str, tuple[tuple[str, ...], float]] = {
    "wav": ((), 0.0),
    "flac": ((), 0.0),
    "mp3": ((), 0.001),
    "ogg": (("-c:a", "libvorbis"), 0.001),
    "opus": (("-f", "ogg"), 0.01),
    "m4a": ((), 0.065),
    "aac": ((), 0.13),
    "webm": ((), 0.01),
}


def measured_s(path: Path) -> float:
    return track.measure(media.opened(path), shortest_s=0.2, longest_s=60).duration_s


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_duration_of_each_format_is_that_of_its_samples(tmp_path: Path, suffix: str) -> None:
    options, tolerance_s = FORMATS[suffix]
    source = media.wav(tmp_path / "source.wav", media.tone(2.345))
    path = media.convert(source, tmp_path / f"speech.{suffix}", *options)
    assert measured_s(path) == pytest.approx(2.345, abs=tolerance_s + 1e-9)


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (11_025, 2), (12_345, 1), (48_000, 6), (96_000, 2)])
def test_unusual_rates_and_channel_counts_are_accepted(tmp_path: Path, rate_hz: int, channels: int) -> None:
    path = media.wav(tmp_path / "unusual.wav", media.tone(1.5, rate_hz), rate_hz, channels)
    assert measured_s(path) == pytest.approx(1.5, abs=1 / rate_hz)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_a_truncated_file_is_rejected(tmp_path: Path, suffix: str) -> None:
    options, _ = FORMATS[suffix]
    source = media.wav(tmp_path / "source.wav", media.tone(8))
    whole = media.convert(source, tmp_path / f"speech.{suffix}", *options)
    with pytest.raises(MediaTruncatedError):
        measured_s(media.truncated(whole, tmp_path / "cut", 0.6))


def test_a_truncated_m4a_with_its_index_first_is_rejected(tmp_path: Path) -> None:
    source = media.wav(tmp_path / "source.wav", media.tone(8))
    whole = media.convert(source, tmp_path / "speech.m4a", "-movflags", "+faststart")
    with pytest.raises(MediaTruncatedError):
        measured_s(media.truncated(whole, tmp_path / "cut", 0.6))


def test_a_wav_without_a_stated_size_is_accepted(tmp_path: Path) -> None:
    path = media.wav(tmp_path / "piped.wav", media.tone(1))
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert measured_s(path) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("padding_s", "expected_s"), [(0.05, 1.95), (0.5, 2.04)])
def test_only_the_padding_of_an_m4a_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, padding_s: float, expected_s: float
) -> None:
    path = media.convert(media.wav(tmp_path / "source.wav", media.tone(2)), tmp_path / "speech.m4a")
    monkeypatch.setattr(track, "_stated_s", lambda *_: 2.0 - padding_s)
    assert measured_s(path) == pytest.approx(expected_s, abs=0.03)


def test_silence_is_rejected(tmp_path: Path, noise: np.random.Generator) -> None:
    with pytest.raises(SpeechSilentError):
        measured_s(media.wav(tmp_path / "zero.wav", np.zeros(16_000)))
    with pytest.raises(SpeechSilentError):
        measured_s(media.wav(tmp_path / "hiss.wav", noise.normal(0, 0.0005, 16_000)))


@pytest.mark.parametrize("gain_db", [-30, -40, -50])
def test_a_quiet_voice_is_accepted(tmp_path: Path, gain_db: int) -> None:
    with (Path(__file__).parents[3] / "demo" / "speech" / "english.mp3").open("rb") as file:
        voice = np.concatenate(list(audio.samples(file, container.MP3, 16_000)))
    path = media.wav(tmp_path / "quiet.wav", voice * 10 ** (gain_db / 20))
    assert measured_s(path) == pytest.approx(len(voice) / 16_000, abs=1e-3)


def test_a_recording_that_is_too_quiet_gets_the_gain_that_it_needs(tmp_path: Path, noise: np.random.Generator) -> None:
    with pytest.raises(SpeechSilentError, match=r"at -66 dBFS, .* 12 dB louder"):
        measured_s(media.wav(tmp_path / "hiss.wav", noise.normal(0, 0.0005, 16_000)))
    with pytest.raises(SpeechSilentError, match="from start to end"):
        measured_s(media.wav(tmp_path / "zero.wav", np.zeros(16_000)))


def test_an_offset_is_no_sound(tmp_path: Path) -> None:
    with pytest.raises(SpeechSilentError):
        measured_s(media.wav(tmp_path / "offset.wav", np.full(16_000, 0.3)))


def test_the_level_does_not_depend_on_the_chunks(noise: np.random.Generator) -> None:
    samples = noise.normal(0, 0.0003, 9_000) * np.linspace(0, 2, 9_000) ** 2
    found = []
    for size in (1, 700, 9_000):
        loudness = Loudness()
        for start in range(0, len(samples), size):
            loudness.update(samples[start : start + size].astype(np.float32))
        loudness.finish()
        found.append(loudness.loudest)
    assert found[0] == found[1] == found[2]


def test_one_quiet_word_in_silence_is_accepted(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(32_000), media.tone(0.3, level=0.02), np.zeros(32_000)])
    assert measured_s(media.wav(tmp_path / "quiet.wav", samples)) == pytest.approx(4.3)


def test_speech_below_the_shortest_duration_is_too_short(tmp_path: Path) -> None:
    with pytest.raises(SpeechTooShortError, match=r"0\.050 s"):
        measured_s(media.wav(tmp_path / "short.wav", media.tone(0.05)))


def test_a_header_without_samples_is_too_short(tmp_path: Path) -> None:
    with pytest.raises(SpeechTooShortError):
        measured_s(media.wav(tmp_path / "none.wav", np.zeros(0)))


def test_speech_above_the_longest_duration_is_too_long(tmp_path: Path) -> None:
    path = media.wav(tmp_path / "long.wav", media.tone(3))
    with pytest.raises(SpeechTooLongError, match="2 s"):
        track.measure(media.opened(path), shortest_s=0.2, longest_s=2)


def test_the_shortest_and_the_longest_duration_are_accepted(tmp_path: Path) -> None:
    path = media.wav(tmp_path / "limit.wav", media.tone(0.5))
    assert track.measure(media.opened(path), shortest_s=0.5, longest_s=0.5).duration_s == 0.5


def test_a_rate_outside_the_range_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(NotAudioError, match="1 Hz"):
        measured_s(media.wav(tmp_path / "slow.wav", media.tone(1), rate_hz=1))


@pytest.mark.parametrize("name", media.CONCATENATIONS)
def test_concatenated_mp3s_are_one_recording(tmp_path: Path, name: str) -> None:
    parts = media.CONCATENATIONS[name]
    # The padding of the first part alone is removed.
    assert measured_s(media.concatenated(tmp_path, name, parts)) == pytest.approx(2 * len(parts), abs=0.08 * len(parts))


@pytest.mark.parametrize("channels", range(3, 9))
def test_up_to_eight_channels_are_accepted(tmp_path: Path, channels: int) -> None:
    path = media.wav(tmp_path / "many.wav", media.tone(0.5, 8_000), 8_000, channels)
    assert measured_s(path) == pytest.approx(0.5)


@pytest.mark.parametrize("channels", [9, 32])
def test_more_than_eight_channels_are_rejected(tmp_path: Path, channels: int) -> None:
    with pytest.raises(NotAudioError, match=f"{channels} channels"):
        measured_s(media.wav(tmp_path / "many.wav", media.tone(0.5, 8_000), 8_000, channels))


def test_a_wav_of_an_unknown_codec_is_rejected(tmp_path: Path) -> None:
    path = media.wav(tmp_path / "unusual.wav", media.tone(1))
    data = bytearray(path.read_bytes())
    data[20:22] = b"\xad\xde"
    path.write_bytes(data)
    with pytest.raises(NotAudioError, match="codec of this file"):
        measured_s(path)


@pytest.mark.parametrize("suffix", ["flac", "aac", "mp3"])
def test_a_tag_before_the_audio_is_skipped(tmp_path: Path, suffix: str) -> None:
    source = media.wav(tmp_path / "source.wav", media.tone(2))
    path = media.convert(source, tmp_path / f"speech.{suffix}")
    path.write_bytes(media.tagged(path.read_bytes()))
    found = track.measure(media.opened(path), 0.2, 60)
    assert found.duration_s == pytest.approx(2, abs=0.15)
    assert found.container.name.lower() == suffix


def test_a_video_without_sound_is_rejected(tmp_path: Path) -> None:
    picture = ("-f", "lavfi", "-t", "1")
    source = Path("color=size=64x64:rate=25")
    path = tmp_path / "mute.mp4"
    command = [media.imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *picture, "-i", str(source), str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    with pytest.raises(NotAudioError, match="no audio track"):
        measured_s(path)


@pytest.mark.parametrize(
    "head", [b"fLaC", b"OggS", b"ID3\4\0\0\0\0\0\0", b"RIFF\xff\xff\0\0WAVE", b"\0\0\0\x20ftypM4A "]
)
def test_magic_bytes_without_valid_data_are_rejected(tmp_path: Path, head: bytes, noise: np.random.Generator) -> None:
    path = tmp_path / "noise"
    path.write_bytes(head + noise.integers(0, 256, 4000, dtype=np.uint8).tobytes())
    with pytest.raises((MediaTruncatedError, NotAudioError, SpeechTooShortError, SpeechSilentError)):
        measured_s(path)


@pytest.mark.parametrize("data", [b"", b"hello, I am a letter", b"#EXTM3U\n/etc/passwd\n"])
def test_other_files_are_rejected(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(data)
    with pytest.raises(NotAudioError):
        measured_s(path)


def test_a_few_damaged_frames_are_skipped(tmp_path: Path, noise: np.random.Generator) -> None:
    source = media.wav(tmp_path / "source.wav", media.tone(8))
    path = media.convert(source, tmp_path / "speech.mp3")
    data = bytearray(path.read_bytes())
    data[9000:9040] = noise.integers(0, 256, 40, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    assert measured_s(path) == pytest.approx(8, abs=0.3)


def test_memory_does_not_grow_with_the_speech(tmp_path: Path) -> None:
    short = media.wav(tmp_path / "ten-seconds.wav", media.tone(10))
    path = media.wav(tmp_path / "ten-minutes.wav", np.tile(media.tone(10), 60))
    script = """
from pathlib import Path
from dubline.worker.media import track
for name in sys.argv[1:]:
    track.measure(Path(name).open("rb"), 0.2, 3600)
    print(peak_bytes())
"""
    before, after = memory.printed(script, short, path)
    # The file alone has 19 MB, its samples as floats 38 MB.
    assert after - before < 5 * 2**20


def test_a_track_has_its_container(speech_file: Path) -> None:
    assert track.measure(media.opened(speech_file), 0.2, 60) == track.Track(container.WAV, 1.0)
