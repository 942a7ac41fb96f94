from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.unit.worker import media_files as media

from dubline.worker.media import audio, track
from dubline.worker.media.container import identify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RATE_HZ = 16_000


def read(path: Path) -> list[np.ndarray]:
    file = media.opened(path)
    return list(audio.samples(file, identify(file), RATE_HZ))


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (12_345, 2), (16_000, 1), (44_100, 2), (48_000, 6)])
def test_speech_is_decoded_to_mono_seconds_at_16_khz(tmp_path: Path, rate_hz: int, channels: int) -> None:
    path = media.wav(tmp_path / "speech.wav", media.tone(2.5, rate_hz), rate_hz, channels)
    chunks = read(path)
    assert [len(chunk) for chunk in chunks[:2]] == [RATE_HZ, RATE_HZ]
    assert sum(map(len, chunks)) == pytest.approx(2.5 * RATE_HZ, abs=4)
    assert all(chunk.dtype == np.float32 and chunk.ndim == 1 for chunk in chunks)
    assert np.abs(np.concatenate(chunks)).max() == pytest.approx(0.3, rel=0.5)


def test_samples_equal_those_of_the_file(speech_file: Path) -> None:
    assert np.abs(np.concatenate(read(speech_file)) - media.tone(1)).max() < 1e-4


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "m4a", "aac"])
def test_compressed_speech_keeps_its_position_in_time(tmp_path: Path, suffix: str) -> None:
    samples = np.zeros(48_000)
    samples[24_000:25_600] = media.tone(0.1)  # a beep at 1.5 s
    source = media.wav(tmp_path / "beep.wav", samples)
    options = ("-c:a", "libvorbis") if suffix == "ogg" else ()
    sound = np.concatenate(read(media.convert(source, tmp_path / f"beep.{suffix}", *options)))
    loud = np.flatnonzero(np.abs(sound) > 0.08)
    # Raw AAC cannot state the encoder's delay.
    assert loud[0] / RATE_HZ == pytest.approx(1.5, abs=0.075 if suffix == "aac" else 0.01)


def test_two_passes_give_equal_samples(tmp_path: Path) -> None:
    path = media.wav(tmp_path / "speech.wav", media.tone(1.7, 22_050), 22_050)
    first, second = read(path), read(path)
    assert (np.concatenate(first) == np.concatenate(second)).all()


@pytest.mark.parametrize("name", media.CONCATENATIONS)
def test_all_parts_of_a_concatenation_are_decoded(tmp_path: Path, name: str) -> None:
    path = media.concatenated(tmp_path, name, media.CONCATENATIONS[name])
    measured = track.measure(media.opened(path), 0.2, 60)
    sound = np.concatenate(read(path))
    assert len(sound) / RATE_HZ == pytest.approx(measured.duration_s, abs=0.001)
    seconds = sound[: len(sound) // RATE_HZ * RATE_HZ].reshape(-1, RATE_HZ)
    assert np.abs(seconds).max(axis=1).min() > 0.1


def test_the_soundtrack_is_mono_or_stereo(tmp_path: Path) -> None:
    for channels, expected in ((1, 1), (2, 2), (6, 2)):
        path = media.wav(tmp_path / "speech.wav", media.tone(0.5, 8_000), 8_000, channels)
        file = media.opened(path)
        decoding = audio.both(file, identify(file), RATE_HZ, 48_000)
        sound = np.concatenate([part for part in decoding.parts if part.dtype == np.int32])
        assert (decoding.channels, sound.shape[1]) == (expected, expected)
        assert len(sound) == pytest.approx(24_000, abs=4)


@pytest.mark.parametrize("name", media.CONCATENATIONS)
def test_decoding_once_gives_the_samples_of_decoding_twice(tmp_path: Path, name: str) -> None:
    path = media.concatenated(tmp_path, name, media.CONCATENATIONS[name])
    file = media.opened(path)
    container = identify(file)
    decoding = audio.both(file, container, RATE_HZ, 48_000)
    parts = list(decoding.parts)
    samples, sound = ([part for part in parts if part.dtype == kind] for kind in (np.float32, np.int32))
    assert [len(part) for part in samples[:-1]] == [RATE_HZ] * (len(samples) - 1)
    assert (np.concatenate(samples) == np.concatenate(read(path))).all()
    alone = audio.mix(audio.decode(media.opened(path), container), decoding.channels, 48_000)
    assert (np.concatenate(sound) == np.concatenate(list(alone))).all()


def test_few_frames_are_held_between_both_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = media.opened(media.wav(tmp_path / "long.wav", media.tone(20.0)))
    decode, decoded_s, used_s = audio.decode, 0.0, 0.0

    def watched(*arguments: Any) -> Iterator[Any]:
        nonlocal decoded_s
        for frame in decode(*arguments):
            decoded_s += frame.samples / frame.sample_rate
            yield frame

    monkeypatch.setattr(audio, "decode", watched)
    for part in audio.both(file, identify(file), RATE_HZ, 48_000).parts:
        if part.dtype == np.int32:
            assert len(part) < 2 * 48_000
            used_s += len(part) / 48_000
            assert decoded_s - used_s < 0.2
    assert used_s == pytest.approx(20, abs=0.01)


STEREO = {
    "u8.wav": ("-c:a", "pcm_u8"),
    "s16.wav": (),
    "f32.wav": ("-c:a", "pcm_f32le"),
    "s16.flac": (),
    "planes.m4a": ("-b:a", "192k"),
}


def stereo(folder: Path, name: str, right: float) -> Path:
    """Write a tone to the left channel, and `right` times it to the other one."""
    source = media.wav(folder / "mono.wav", media.tone(1, 48_000), 48_000)
    pan = f"pan=stereo|c0=c0|c1={right}*c0"
    return media.convert(source, folder / name, "-af", pan, *STEREO[name])


@pytest.mark.parametrize("name", STEREO)
@pytest.mark.parametrize(
    ("right", "share"), [(-1.0, 1.0), (-0.9, 1.0), (-1.1, 1.0), (-1.3, 1.0), (0.5, 0.75), (-0.5, 0.25)]
)
def test_channels_that_cancel_each_other_are_audible(tmp_path: Path, name: str, right: float, share: float) -> None:
    sound = np.concatenate(read(stereo(tmp_path, name, right)))[1600:14_400]
    expected = share * media.tone(1)[1600:14_400]
    assert np.sqrt(np.square(sound).mean()) == pytest.approx(np.sqrt(np.square(expected).mean()), rel=0.06)
    assert np.abs(np.fft.rfft(sound)).argmax() == np.abs(np.fft.rfft(expected)).argmax()


def test_the_soundtrack_keeps_channels_that_cancel_each_other(tmp_path: Path) -> None:
    file = media.opened(stereo(tmp_path, "s16.wav", -1.0))
    parts = audio.both(file, identify(file), RATE_HZ, 48_000).parts
    sound = np.concatenate([part for part in parts if part.dtype == np.int32]).astype(float)
    assert np.abs(sound.sum(axis=1)).max() <= 1e-3 * np.abs(sound).max()


def test_a_part_of_several_seconds_is_divided() -> None:
    whole = np.arange(35_000, dtype=np.int32)[:, None] << 8
    seconds = list(audio._seconds([whole[:25_000], whole[25_000:25_001], whole[25_001:]], 10_000))
    assert [len(second) for second in seconds] == [10_000] * 3 + [5_000]
    assert np.array_equal(np.concatenate(seconds), audio.as_floats(whole))


def test_infinities_and_nans_are_bounded(tmp_path: Path) -> None:
    source = media.wav(tmp_path / "source.wav", media.tone(1))
    path = media.convert(source, tmp_path / "float.wav", "-c:a", "pcm_f32le")
    data = bytearray(path.read_bytes())
    data[-400:-200] = np.full(50, np.inf, dtype="<f4").tobytes()
    data[-800:-600] = np.full(50, np.nan, dtype="<f4").tobytes()
    path.write_bytes(data)
    sound = np.concatenate(read(path))
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1
