"""Sampling window by window: exact length, determinism by seed, streaming in constant memory."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dubline.models import sampling
from dubline.models.motion.readout import LIPS, READINGS
from dubline.models.motion.silence import silence
from dubline.models.motion.spoken_lips import SpokenLips
from dubline.models.sampling import join_windows, sample_motion, sample_window
from dubline.models.speech.recording import Recording
from dubline.models.stage2 import schedule
from dubline.models.stage2.audio_encoder import MEL_PER_FRAME
from dubline.models.stage2.denoiser import Condition
from dubline.models.stage2.diffusion import Diffusion
from dubline.models.stage2.log_mel import BANDS
from dubline.options.render import MotionControls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from dubline.models.presets import Objective
    from dubline.models.stage1.autoencoder import Source
    from dubline.models.weights import Networks

YAW = READINGS.index("yaw")
ROTATION = slice(3)


def babble(seconds: float, chunks: int = 1) -> Callable[[], Iterator[NDArray[np.float32]]]:
    random = np.random.default_rng(0)
    loud = np.repeat(random.random(int(seconds * 5) + 1), 3200)[: int(seconds * 16_000)]
    samples = (loud * random.normal(0, 0.1, len(loud))).astype(np.float32)
    return lambda: iter(np.array_split(samples, chunks))


@pytest.mark.parametrize("frames", [1, 59, 60, 61, 119, 120])
def test_exactly_the_requested_frames_are_sampled(quick: Networks, source: Source, frames: int) -> None:
    motion = torch.cat(list(sample_motion(quick, source, babble(frames / 25), frames, seed=0)))
    assert motion.shape == (frames, quick.preset.autoencoder.motion)
    assert motion.dtype == torch.float16
    assert motion.isfinite().all()


def test_motion_is_determined_by_the_seed(quick: Networks, source: Source) -> None:
    first, again, other = (
        torch.cat(list(sample_motion(quick, source, babble(3), 75, seed=seed))) for seed in (7, 7, 8)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_window_of_every_seed_has_noise_of_its_own(quick: Networks) -> None:
    drawn = [sampling._noise(quick, seed, index) for seed in range(3) for index in range(3)]
    assert len({float(noise.sum()) for noise in drawn}) == len(drawn)


def test_another_seed_changes_the_head_and_not_the_lips(networks: Networks, source: Source) -> None:
    first, other = (_readings(networks, source, seed) for seed in (1, 2))
    lips, yaw = (float(torch.corrcoef(torch.stack([first[:, at], other[:, at]]))[0, 1]) for at in (LIPS, YAW))
    # With noise along the lips this noise, which is not speech, opens them by chance: -.12.
    assert lips > 0.8
    assert yaw < 0.5


def _readings(networks: Networks, source: Source, seed: int) -> Tensor:
    motion = torch.cat(list(sample_motion(networks, source, babble(4), 100, seed=seed)))
    whiten = networks.diffusion.whitening
    read: Tensor = networks.readout(whiten(motion.float(), source.motion) - whiten(source.motion, source.motion))
    return read


def test_any_chunking_of_the_speech_gives_the_same_motion(quick: Networks, source: Source) -> None:
    whole, chunked = (torch.cat(list(sample_motion(quick, source, babble(4, count), 100, seed=0))) for count in (1, 37))
    torch.testing.assert_close(whole, chunked, atol=2e-2, rtol=1e-2)


def test_windows_are_yielded_before_the_stream_ends(quick: Networks, source: Source) -> None:
    consumed = []

    def endless() -> Iterator[NDArray[np.float32]]:
        consumed.append(0)
        for chunk in np.array_split(next(babble(20)()), 100):
            consumed[-1] += 1
            yield chunk

    windows = sample_motion(quick, source, endless, 500, seed=0)
    next(windows)
    assert consumed[0] == 100, "the first pass reads everything"
    assert consumed[1] < 80, "the second pass reads only what the window needs"


@pytest.mark.parametrize("objective", ["flow", "x0", "epsilon"])
def test_an_ablated_network_samples_with_any_objective(
    networks: Networks, source: Source, objective: Objective
) -> None:
    torch.manual_seed(0)
    params = replace(
        networks.preset.diffusion,
        objective=objective,
        steps=2,
        uses_style=False,
        uses_articulation=False,
        uses_appearance=False,
    )
    diffusion = Diffusion(replace(networks.preset, diffusion=params)).eval()
    ablated = replace(networks, diffusion=diffusion)
    motion = torch.cat(list(sample_motion(ablated, source, babble(3), 75, seed=0)))
    assert motion.shape == (75, networks.preset.autoencoder.motion)
    assert motion.isfinite().all()
    names = [name for name, _ in diffusion.named_parameters()]
    assert not [name for name in names if name.startswith("style_extractor") or ".mixer." in name]


def test_a_window_is_the_same_alone_and_in_a_batch(networks: Networks) -> None:
    torch.manual_seed(0)
    params, sizes = networks.preset.diffusion, networks.preset.autoencoder
    rows = params.previous + params.window
    condition = Condition(
        torch.randn(3, rows, params.audio_width),
        torch.randn(3, params.style),
        torch.randn(3, sizes.appearance),
        torch.randn(3, sizes.motion),
        torch.randn(3, params.previous, params.whitened),
        torch.ones(3, 1),
    )
    noise = torch.randn(3, params.window, params.whitened)
    together = sample_window(networks.diffusion, condition, noise, steps=2)
    alone = sample_window(networks.diffusion, Condition(*(part[1:2] for part in condition)), noise[1:2], steps=2)
    torch.testing.assert_close(together[1:2], alone, atol=1e-3, rtol=1e-3)


def test_a_sample_is_led_away_from_one_without_speech_and_style(networks: Networks) -> None:
    torch.manual_seed(0)
    params, sizes = networks.preset.diffusion, networks.preset.autoencoder
    condition = Condition(
        torch.randn(1, params.previous + params.window, params.audio_width),
        torch.randn(1, params.style),
        torch.randn(1, sizes.appearance),
        torch.randn(1, sizes.motion),
        torch.randn(1, params.previous, params.whitened),
        torch.ones(1, 1),
    )
    without = condition._replace(audio=0 * condition.audio, style=0 * condition.style)
    noise = torch.randn(1, params.window, params.whitened)
    first, last = schedule.times(1, params.objective)
    begun = schedule.begin(noise, params.objective)
    with torch.inference_mode():
        spoken, unspoken = (
            networks.diffusion.denoiser(begun, first.expand(1), given) for given in (condition, without)
        )
        guided = params.guidance * spoken - (params.guidance - 1) * unspoken
        expected = schedule.step(begun, guided, first, last, params.objective)
        found = sample_window(networks.diffusion, condition, noise, steps=1)
    assert float((spoken - unspoken).abs().max()) > 0.1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_window_continues_the_one_before_and_its_offset_decays() -> None:
    last = torch.full((1, 1, 2), 5.0)
    drawn = torch.randn(1, 60, 2).cumsum(1) / 10
    joined = join_windows(last, drawn)
    assert joined.shape == (1, 59, 2)
    whole = torch.cat([last, joined], dim=1)
    own = drawn.diff(dim=1).abs().max()
    jump = (last - drawn[:, :1]).abs().max()
    assert whole.diff(dim=1).abs().max() < own + 0.12 * jump
    torch.testing.assert_close(joined[:, 20:], drawn[:, 21:])


def test_each_frame_is_as_silent_as_the_recording_there(
    quick: Networks, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = next(babble(6)()).copy()
    samples[2 * 16_000 : 4 * 16_000] = 0
    found: list[Tensor] = []

    def recorded(windows: Iterator[tuple[Tensor, Tensor]], _: object) -> Iterator[tuple[Tensor, Tensor]]:
        for motion, quiet in windows:
            assert len(motion) == len(quiet)
            found.append(quiet)
            yield motion, quiet

    monkeypatch.setattr(sampling, "steady", recorded)
    assert sum(map(len, sample_motion(quick, source, lambda: iter([samples]), 150, seed=0))) == 150
    recording = Recording(lambda: iter([samples]), 600)
    assert sum(map(len, recording.measure())) == 600
    expected = silence(torch.cat(list(recording.normalised()))[None])[0]
    # Beyond the ends of the recording there is silence.
    torch.testing.assert_close(torch.cat(found)[10:140], expected[10:140])


def test_a_window_continues_the_frames_before_it(
    quick: Networks, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, conditions = quick.diffusion.params.previous, []
    sample = sampling.sample_window

    def recorded(diffusion: Diffusion, condition: Condition, noise: Tensor, **options: Any) -> Tensor:
        conditions.append(condition)
        return sample(diffusion, condition, noise, **options)

    monkeypatch.setattr(sampling, "sample_window", recorded)
    style = torch.zeros(1, quick.diffusion.params.style)
    silent = sampling._silent_condition(quick.diffusion, source, style)
    lips = SpokenLips(quick.readout, quick.diffusion.whitening(source.motion, source.motion)[0], 0.0)
    frames = silent.audio.shape[1] + 2 * quick.diffusion.params.margin
    mels = iter(torch.rand(3, 1, frames * MEL_PER_FRAME, BANDS))
    held: list[Tensor] = []
    monkeypatch.setattr(lips, "hold", held.append)
    done = torch.empty(0, quick.diffusion.params.whitened)
    with torch.inference_mode():
        for number, (motion, _) in enumerate(sampling._sampled_windows(quick, silent, lips, mels, 0)):
            assert float(conditions[-1].known) == min(number, 1)
            torch.testing.assert_close(held[-1], conditions[-1].audio[:, count:])
            if number:
                # The last frame before is the first one of the window.
                torch.testing.assert_close(conditions[-1].previous[0], done[-count - 1 : -1])
            done = torch.cat([done, motion])


@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize(
    ("portrait_cm", "sampled_cm", "rest_cm", "lift_cm"),
    [
        (None, 0.5, 0.0, 0.0),
        (None, -0.5, -0.5, 0.0),
        (0.6, -0.2, -0.2, 0.0),
        (0.1, -0.5, -0.5, 0.3),
        (0.1, 0.5, 0.0, 0.0),
    ],
)
def test_lips_at_rest_are_neither_too_open_nor_too_shut_for_the_portrait(  # noqa: PLR0913, PLR0917 - fixtures
    quick: Networks,
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    is_held: bool,
    portrait_cm: float | None,
    sampled_cm: float,
    rest_cm: float,
    lift_cm: float,
) -> None:
    readout = deepcopy(quick.readout)
    readout.spoken_gap.fill_(0.1 if is_held else 0.0)
    read: Any = None if portrait_cm is None else lambda _: torch.tensor([portrait_cm])
    networks = replace(quick, source_gap=read, readout=readout)
    whitened = quick.diffusion.whitening(source.motion, source.motion)
    silent = sampling._silent_condition(quick.diffusion, source, torch.zeros(1, quick.diffusion.params.style))
    drawn = (whitened + sampled_cm * readout.directions()[LIPS]).expand(1, 60, -1)
    monkeypatch.setattr(sampling, "sample_window", lambda *_: drawn)
    lips, editor = sampling._lips_and_editor(networks, source, MotionControls(), silent)
    assert editor.rest_gap == pytest.approx(sampling.LIP_CLOSURE * rest_cm + lift_cm, abs=1e-3)
    assert editor.lift == pytest.approx(0.0 if is_held else lift_cm, abs=1e-3)
    closed_cm = lips.closed - readout(whitened)[0, LIPS]
    torch.testing.assert_close(closed_cm, torch.tensor(rest_cm + lift_cm), atol=1e-3, rtol=0)


def test_lips_that_speech_determines_close_without_the_control_of_silence(
    quick: Networks, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    readout = deepcopy(quick.readout)
    readout.spoken_gap.fill_(0.1)
    whitened = quick.diffusion.whitening(source.motion, source.motion)
    silent = sampling._silent_condition(quick.diffusion, source, torch.zeros(1, quick.diffusion.params.style))
    drawn = (whitened - 0.5 * readout.directions()[LIPS]).expand(1, 60, -1)
    monkeypatch.setattr(sampling, "sample_window", lambda *_: drawn)
    networks = replace(quick, source_gap=None, readout=readout)
    lips, _ = sampling._lips_and_editor(networks, source, MotionControls(shut_in_silence=0), silent)
    assert float(lips.closed - readout(whitened)[0, LIPS]) == pytest.approx(-0.5, abs=1e-3)


@pytest.mark.parametrize(("frames", "windows"), [(1, 1), (60, 1), (61, 2), (119, 2), (120, 3)])
def test_no_window_is_sampled_for_nothing(quick: Networks, frames: int, windows: int) -> None:
    mel = torch.zeros(MEL_PER_FRAME * frames, BANDS)
    assert len(list(sampling._mel_windows(quick.diffusion, iter([mel]), frames))) == windows


def test_motion_at_window_boundaries_is_as_large_as_elsewhere(networks: Networks, source: Source) -> None:
    frames = 360
    motion = torch.cat(list(sample_motion(networks, source, babble(frames / 25), frames, seed=3))).float()
    moved = networks.diffusion.whitening(motion, source.motion).diff(dim=0).norm(dim=1)
    boundaries = torch.tensor(networks.preset.diffusion.window_boundaries(frames)) - 1
    others = torch.ones(len(moved), dtype=torch.bool)
    others[boundaries] = False
    assert len(boundaries) == 6
    assert moved[boundaries].median() < 1.5 * moved[others].median()
    assert moved[boundaries].max() < 1.5 * moved[others].quantile(0.99)


def test_heads_do_not_jerk(networks: Networks, source: Source) -> None:
    rotation = _readings(networks, source, 4)[:, ROTATION].rad2deg()
    # Of the rig's own clips: .2 and .6 degrees from frame to frame; as sampled .5 and 2.4 (docs/log.md).
    jerk = rotation.diff(n=2, dim=0).norm(dim=1)
    assert jerk.median() < 0.35
    assert jerk.quantile(0.99) < 1.2
