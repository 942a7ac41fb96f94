"""Each control moves its own reading by the factor asked for, and nothing else; neutral ones change no bit."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from dubline.models.motion.blinks import SHAPE
from dubline.models.motion.editor import MotionEditor
from dubline.models.motion.readout import HEAD, LIDS, LIPS, MOOD, READINGS, LinearReadout
from dubline.models.sampling import sample_motion
from dubline.models.weights import RELEASED, Networks, load_networks
from dubline.options.render import MotionControls

if TYPE_CHECKING:
    from dubline.models.stage1.autoencoder import Source

FRAMES, SIZE = 50, 24
SPEECH = torch.zeros(FRAMES)
CONTROLS = {"head_motion": HEAD, "expression": MOOD}
# Motion as it was drawn, but for lids.
DRAWN = MotionControls(blink=0.0, shut_in_silence=0.0)


@pytest.fixture
def readout() -> LinearReadout:
    """Readings in the units and with the overlaps of real ones."""
    torch.manual_seed(0)
    readout = LinearReadout(SIZE)
    units = torch.tensor([0.06, 0.1, 0.05, 0.04, 0.02, 0.02, 0.1, 0.5, 0.1, 0.03, 0.05])
    readout.weight.copy_(units[:, None] * (torch.randn(len(READINGS), SIZE) + 0.5) / SIZE**0.5)
    return readout


@pytest.fixture
def motion() -> Tensor:
    return torch.randn(FRAMES, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def still() -> Tensor:
    return torch.full((SIZE,), 0.1)


def steer(
    readout: LinearReadout, motion: Tensor, still: Tensor, controls: MotionControls, silence: Tensor = SPEECH
) -> Tensor:
    return MotionEditor(controls, readout, still, rest=-0.3)(motion, silence, torch.zeros(len(motion)))


def test_a_step_raises_its_own_reading_by_one(readout: LinearReadout) -> None:
    torch.testing.assert_close(readout(readout.steps()), torch.eye(len(READINGS)), atol=1e-5, rtol=0)


def test_motion_without_a_reading_has_all_the_others(readout: LinearReadout, motion: Tensor) -> None:
    others = [index for index in range(len(READINGS)) if index != LIPS]
    read = readout(readout.without(motion, LIPS))
    torch.testing.assert_close(read[:, LIPS], torch.zeros(FRAMES), atol=1e-5, rtol=0)
    torch.testing.assert_close(read[:, others], readout(motion)[:, others], atol=1e-5, rtol=0)


def test_a_rig_that_was_never_fitted_takes_nothing_away(motion: Tensor) -> None:
    assert torch.equal(LinearReadout(SIZE).without(motion, LIPS), motion)


def test_neutral_controls_hold_the_lids_and_nothing_else(readout: LinearReadout, motion: Tensor, still: Tensor) -> None:
    after = steer(readout, motion, still, DRAWN, torch.ones(FRAMES))
    torch.testing.assert_close(after - still, readout.without(motion - still, LIDS))


def test_speech_is_not_touched_by_what_happens_in_silence(
    readout: LinearReadout, motion: Tensor, still: Tensor
) -> None:
    assert torch.equal(
        steer(readout, motion, still, MotionControls(shut_in_silence=1)), steer(readout, motion, still, DRAWN)
    )


@pytest.mark.parametrize("factor", [0, 0.5, 1.5, 2])
@pytest.mark.parametrize(("name", "moved"), CONTROLS.items())
def test_a_control_moves_its_own_readings_by_the_factor_and_no_others(  # noqa: PLR0913, PLR0917 - fixtures
    readout: LinearReadout, motion: Tensor, still: Tensor, name: str, moved: slice, factor: float
) -> None:
    before = readout(motion - still)
    after = readout(steer(readout, motion, still, replace(DRAWN, **{name: factor})) - still)
    expected = before.clone()
    expected[:, moved] *= factor
    expected[:, LIDS] = 0
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CONTROLS)
def test_what_no_reading_sees_goes_with_the_head(
    readout: LinearReadout, motion: Tensor, still: Tensor, name: str
) -> None:
    before = motion - still
    after = steer(readout, motion, still, replace(DRAWN, **{name: 0.5})) - still
    unread_before, unread_after = (part - readout(part) @ readout.steps() for part in (before, after))
    factor = 0.5 if name == "head_motion" else 1
    torch.testing.assert_close(unread_after, factor * unread_before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("strength", [0.5, 1])
def test_lips_go_to_rest_in_silence_and_nothing_else_does(
    readout: LinearReadout, motion: Tensor, still: Tensor, strength: float
) -> None:
    silence = torch.linspace(0, 1, FRAMES)
    before = readout(motion - still)
    after = readout(steer(readout, motion, still, MotionControls(shut_in_silence=strength), silence) - still)
    expected = before.clone()
    expected[:, LIPS] += strength * silence * (-0.3 - before[:, LIPS])
    expected[:, LIDS] = 0
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)


def test_controls_combine(readout: LinearReadout, motion: Tensor, still: Tensor) -> None:
    before = readout(motion - still)
    asked = MotionControls(expression=2, head_motion=0, shut_in_silence=1)
    after = steer(readout, motion, still, asked, torch.ones(FRAMES)) - still
    expected = torch.zeros_like(before)
    expected[:, MOOD], expected[:, LIPS] = 2 * before[:, MOOD], -0.3
    torch.testing.assert_close(readout(after), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after, expected @ readout.steps(), atol=1e-4, rtol=1e-4)


def test_a_rig_that_was_never_fitted_leaves_motion_as_it_is(motion: Tensor, still: Tensor) -> None:
    asked = MotionControls(expression=0, head_motion=0, blink=0, shut_in_silence=1)
    assert torch.equal(steer(LinearReadout(SIZE), motion, still, asked, torch.ones(FRAMES)), motion)


@pytest.mark.parametrize("name", ["expression", "head_motion", "blink", "shut_in_silence"])
@pytest.mark.parametrize("value", [-0.1, 2.1, float("nan"), float("inf")])
def test_a_value_out_of_range_is_refused(readout: LinearReadout, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"The control {name} is .* Use 0 to"):
        steer(readout, torch.zeros(1, readout.weight.shape[1]), torch.zeros(1), replace(DRAWN, **{name: value}))


@pytest.mark.parametrize("name", sorted(path.parent.name for path in RELEASED.glob("*/manifest.json")))
def test_every_released_preset_can_be_steered(name: str) -> None:
    readout = load_networks(name, torch.device("cpu")).readout
    torch.testing.assert_close(readout(readout.steps()), torch.eye(len(READINGS)), atol=1e-4, rtol=0)
    assert readout.steps().norm(dim=1).mul(readout.weight.norm(dim=1)).max() < 3, "the readings overlap too much"


def speak(networks: Networks, source: Source, controls: MotionControls, seconds: float) -> list[Tensor]:
    """Windows of sampled motion (t, M) for so much noise and two silent seconds after it."""
    samples = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)
    windows = sample_motion(networks, source, lambda: iter([samples]), round(seconds * 25) + 50, 0, controls=controls)
    return [window.float() for window in windows]


def read(networks: Networks, source: Source, controls: MotionControls) -> Tensor:
    """Readings (100, 11) of sampled motion, silent in its second half."""
    whiten = networks.diffusion.whitening
    motion = torch.cat(speak(networks, source, controls, 2))
    moved = whiten(motion, source.motion) - whiten(source.motion, source.motion)
    readings: Tensor = networks.readout(moved)
    return readings


@pytest.fixture(scope="module")
def sampled(networks: Networks, source: Source) -> Tensor:
    return read(networks, source, DRAWN)


@pytest.mark.parametrize(("name", "moved"), CONTROLS.items())
@pytest.mark.parametrize("factor", [0, 0.5, 1.5])
def test_tinys_motion_follows_a_control_and_its_lips_stay(  # noqa: PLR0913, PLR0917 - fixtures
    networks: Networks, source: Source, sampled: Tensor, name: str, moved: slice, factor: float
) -> None:
    after = read(networks, source, replace(DRAWN, **{name: factor}))
    # Motion is stored in half precision.
    assert abs(after[:, moved].norm() / sampled[:, moved].norm() - factor) < 0.02
    assert torch.corrcoef(torch.stack([after[:, LIPS], sampled[:, LIPS]]))[0, 1] > 0.98


def test_tinys_lips_rest_in_a_pause_and_speak_as_before(networks: Networks, source: Source, sampled: Tensor) -> None:
    after = read(networks, source, replace(DRAWN, shut_in_silence=1))
    assert after[56:, LIPS].std() < 0.01 < sampled[56:, LIPS].std()
    assert torch.equal(after[6:44], sampled[6:44])
    others = [row for row in range(len(READINGS)) if row != LIPS]
    torch.testing.assert_close(after[:, others], sampled[:, others], atol=0.01, rtol=0)


def test_controls_leave_no_seam_between_windows(networks: Networks, source: Source) -> None:
    asked = MotionControls(expression=1.5, head_motion=0.5, blink=2, shut_in_silence=1)
    windows = speak(networks, source, asked, 8)
    inside = torch.cat([window.diff(dim=0).norm(dim=1) for window in windows])
    across = torch.stack([(after[0] - before[-1]).norm() for before, after in pairwise(windows)])
    assert across.max() < 1.5 * inside.quantile(0.99)


@pytest.mark.parametrize("seconds", [2, 8])
def test_the_eyes_blink_as_often_as_asked_and_all_else_stays(
    networks: Networks, source: Source, seconds: float
) -> None:
    never, often = (torch.cat(speak(networks, source, replace(DRAWN, blink=amount), seconds)) for amount in (0, 2))
    whitening = networks.diffusion.whitening
    direction = (networks.readout.lid_closure * whitening.scale) @ whitening.basis.T
    shut = (often - never) @ direction / direction.square().sum()
    # Motion is stored in half precision.
    torch.testing.assert_close(often - never, shut[:, None] * direction, atol=0.01, rtol=0)
    blinks = int((shut > 0.99).sum())
    assert blinks > seconds / 4
    assert abs(float(shut.sum()) - blinks * sum(SHAPE)) < sum(SHAPE)
