"""Augments the waveform of speech: pitch, speed, reverberation, noise, level and codec.

It runs once per clip before training; `mel_augmentation` runs for every window. Sample n of the output belongs to
sample n * speed of the input: codec delays are removed.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import av
import numpy as np

from dubline.models.stage2.log_mel import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

#: Largest change of speed, which the face follows too, and of pitch in semitones, which keeps a voice natural.
MOST_SPEED: Final = 0.12
MOST_SEMITONES: Final = 3.0
#: Signal-to-noise ratio: from a bad street microphone to a quiet room.
NOISE_DB: Final = (5.0, 35.0)
#: Reverberation time (decay by 60 dB): from a booth to an empty hall.
REVERB_S: Final = (0.1, 0.7)
#: Peak level: from far below full scale to clipping.
PEAK_DB: Final = (-12.0, 6.0)
#: Shares of recordings with each augmentation.
PITCH_SHARE: Final = 0.6
SPEED_SHARE: Final = 0.6
REVERB_SHARE: Final = 0.5
NOISE_SHARE: Final = 0.6
CODEC_SHARE: Final = 0.5
BABBLE_VOICES: Final = 3
BABBLE_SHARE: Final = 0.4
#: Segments of overlap-add, and how far each may be shifted to fit: well below a mel frame (10 ms).
SEGMENT: Final = 512
SLACK: Final = 80
#: Container and bit rates of each codec: as low as in calls and old files.
CODECS: Final = {
    "libmp3lame": ("mp3", 16_000, 48_000),
    "libopus": ("ogg", 8_000, 24_000),
    "aac": ("adts", 16_000, 48_000),
}
TELEPHONE: Final = "telephone"
#: Upper bound of the codecs' delay.
MOST_DELAY_SAMPLES: Final = 4000


class AugmentedSpeech(NamedTuple):
    """Augmented speech with its time scale."""

    speech: Samples
    """(N,) in [-1, 1] at 16 kHz."""
    speed: float
    """Seconds of the original per second of this speech."""


def augment_waveform(speech: Samples, random: np.random.Generator, others: Sequence[Samples] = ()) -> AugmentedSpeech:
    """Augment speech: the same words with another voice, room and recording.

    Args:
        speech: (N,) in [-1, 1] at 16 kHz.
        random: source of all random numbers.
        others: other people's speech; three of them make a babble.
    """
    output, speed = speech, 1.0
    if random.random() < PITCH_SHARE:
        output = change_pitch(output, float(2 ** (random.uniform(-MOST_SEMITONES, MOST_SEMITONES) / 12)))
    if random.random() < SPEED_SHARE:
        output, speed = change_speed(output, 1 + MOST_SPEED * float(random.uniform(-1, 1)))
    if random.random() < REVERB_SHARE:
        output = add_reverb(output, float(random.uniform(*REVERB_S)), random)
    if random.random() < NOISE_SHARE:
        output = add_noise(output, random, others)
    peak = 10 ** (float(random.uniform(*PEAK_DB)) / 20)
    output = (output * (peak / max(1e-3, float(np.abs(output).max())))).clip(-1, 1).astype(np.float32)
    if random.random() < CODEC_SHARE:
        output = transcode(output, str(random.choice([*usable_codecs(), TELEPHONE])), random)
    return AugmentedSpeech(output, speed)


def change_speed(speech: Samples, speed: float) -> AugmentedSpeech:
    """Resample speech, which changes pitch and speed together. The returned speed is exact."""
    length = max(1, round(len(speech) / speed))
    return AugmentedSpeech(_resampled(speech, length), len(speech) / length)


def change_pitch(speech: Samples, ratio: float) -> Samples:
    """Scale pitch and formants by a ratio at constant duration: resample, then stretch."""
    return stretch(_resampled(speech, max(1, round(len(speech) / ratio))), len(speech))


def stretch(speech: Samples, length: int) -> Samples:
    """Stretch speech to `length` samples at constant pitch: waveform-similarity overlap-add.

    Each segment is taken within 5 ms of its time, where it best continues the segment before.
    """
    hop = SEGMENT // 2
    window = np.hanning(SEGMENT + 1)[:SEGMENT].astype(np.float32)
    padded = np.pad(speech, (hop + SLACK, 2 * SEGMENT + SLACK))
    count = -(-length // hop) + 1
    output = np.zeros((count + 1) * hop, np.float32)
    follow: Samples | None = None
    for index in range(count):
        # A segment is centred on its time; `padded` starts half a segment and the slack earlier.
        begin = min(round(index * hop * len(speech) / length), len(speech)) + SLACK
        if follow is not None:
            fit = np.correlate(padded[begin - SLACK : begin + SLACK + hop], follow, "valid")
            # A small penalty on shifts decides where all shifts fit equally, as in silence.
            begin += int(np.argmax(fit - 1e-6 * np.abs(np.arange(-SLACK, SLACK + 1)))) - SLACK
        output[index * hop : index * hop + SEGMENT] += window * padded[begin : begin + SEGMENT]
        follow = padded[begin + hop : begin + SEGMENT]
    return output[hop : hop + length]


def add_reverb(speech: Samples, seconds: float, random: np.random.Generator) -> Samples:
    """Add reverberation: exponentially decaying noise that falls by 60 dB in `seconds`."""
    count = int(seconds * SAMPLE_RATE_HZ)
    echo = random.normal(0, 1, count) * 10 ** (-3 * np.arange(count) / count)
    # Pre-delay of up to 20 ms.
    echo[: int(random.integers(1, 320))] = 0
    echo *= float(random.uniform(0.1, 0.7)) / (np.sqrt((echo**2).sum()) + 1e-9)
    echo[0] = 1
    size = len(speech) + count
    output = np.fft.irfft(np.fft.rfft(speech, size) * np.fft.rfft(echo, size), size)[: len(speech)]
    return output.astype(np.float32)


def add_noise(speech: Samples, random: np.random.Generator, others: Sequence[Samples] = ()) -> Samples:
    """Add white to brown noise, or the babble of three other voices."""
    if len(others) >= BABBLE_VOICES and random.random() < BABBLE_SHARE:
        chosen = random.choice(len(others), BABBLE_VOICES, replace=False)
        voices = [np.resize(np.roll(others[i], int(random.integers(1, SAMPLE_RATE_HZ))), len(speech)) for i in chosen]
        noise = np.stack(voices).sum(0)
    else:
        tilt = float(random.uniform(0, 2))
        waves = np.fft.rfft(random.normal(0, 1, len(speech)))
        waves[1:] /= np.arange(1, len(waves)) ** (tilt / 2)
        noise = np.fft.irfft(waves, len(speech))
    wanted = np.sqrt((speech**2).mean()) * 10 ** (-float(random.uniform(*NOISE_DB)) / 20)
    output: Samples = (speech + noise * (wanted / (np.sqrt((noise**2).mean()) + 1e-9))).astype(np.float32)
    return output


def usable_codecs() -> list[str]:
    """List the codecs that this build of FFmpeg can encode."""
    return [codec for codec in CODECS if codec in av.codecs_available]


def transcode(speech: Samples, codec: str, random: np.random.Generator) -> Samples:
    """Encode speech at a low bit rate and decode it, without the codec's delay."""
    if codec == TELEPHONE:
        return _telephone(speech)
    container_format, low, high = CODECS[codec]
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        stream = cast("av.AudioStream", container.add_stream(codec, rate=SAMPLE_RATE_HZ, layout="mono"))
        stream.bit_rate = int(random.integers(low, high))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(speech[None]), "flt", "mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
    parts = []
    with av.open(file, "r") as coded:
        for frame in coded.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
        parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return _aligned(np.concatenate(parts), speech)


def _telephone(speech: Samples) -> Samples:
    """Apply 8 kHz mu-law in 8 bits (ITU-T G.711)."""
    narrow = _resampled(speech, max(1, len(speech) // 2)).clip(-1, 1)
    coded = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127) / 127
    decoded = np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255
    return _resampled(decoded.astype(np.float32), len(speech))


def _aligned(decoded: Samples, speech: Samples) -> Samples:
    """Shift decoded samples to the best fit with the original, at the original's length."""
    size = len(decoded) + len(speech)
    match = np.fft.irfft(np.fft.rfft(decoded, size) * np.fft.rfft(speech, size).conj(), size)
    near = np.concatenate([match[:MOST_DELAY_SAMPLES], match[-MOST_DELAY_SAMPLES:]])
    best = int(np.argmax(near))
    delay = best if best < MOST_DELAY_SAMPLES else best - 2 * MOST_DELAY_SAMPLES
    shifted = decoded[delay:] if delay > 0 else np.pad(decoded, (-delay, 0))
    return np.pad(shifted, (0, max(0, len(speech) - len(shifted))))[: len(speech)]


def _resampled(speech: Samples, length: int) -> Samples:
    """Resample to `length` samples by the Fourier series, band-limited."""
    output = np.fft.irfft(np.fft.rfft(speech)[: length // 2 + 1], length) * (length / len(speech))
    return output.astype(np.float32)
