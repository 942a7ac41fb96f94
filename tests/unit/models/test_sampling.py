"""Sampling window by window: exact length, determinism by seed, streaming in constant memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from dubline.models.motion.readout import LIPS, READINGS
from dubline.models.sampling import join_windows, sample_motion, sample_window
from dubline.models.stage2.denoiser import Condition
from dubline.models.stage2.diffusion import Diffusion

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
