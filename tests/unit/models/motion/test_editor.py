"""Each motion control scales its own reading and nothing else; neutral controls change no bit."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from dubline.models import sampling
from dubline.models.motion.blinks import PROFILE
from dubline.models.motion.editor import MotionEditor
from dubline.models.motion.readout import HEAD, LIDS, LIPS, MOOD, READINGS, LinearReadout
from dubline.models.motion.source_gap import SourceGap
from dubline.models.sampling import sample_motion
from dubline.models.weights import RELEASED, Networks, load_networks
from dubline.options.render import MotionControls

if TYPE_CHECKING:
    from dubline.models.stage1.autoencoder import Source

FRAMES, SIZE = 50, 24
SPEECH = torch.zeros(FRAMES)
CONTROLS = {"head_motion": HEAD, "expression": MOOD}
# The sampled motion without blinks and with lips unchanged.
SAMPLED = MotionControls(blink=0.0, shut_in_silence=0.0)


@pytest.fixture
def readout() -> LinearReadout:
    """A readout with realistic units and correlations."""
    torch.manual_seed(0)
    readout = LinearReadout(SIZE)
    units = torch.tensor([0.06, 0.1, 0.05, 0.04, 0.02, 0.02, 0.1, 0.5, 0.1, 0.03, 0.05])
    readout.weight.copy_(units[:, None] * (torch.randn(len(READINGS), SIZE) + 0.5) / SIZE**0.5)
    return readout


@pytest.fixture
def motion() -> Tensor:
    return torch.randn(FRAMES, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def origin() -> Tensor:
    return torch.full((SIZE,), 0.1)


def edit(
    readout: LinearReadout, motion: Tensor, origin: Tensor, controls: MotionControls, silence: Tensor = SPEECH
) -> Tensor:
    return MotionEditor(controls, readout, origin, rest_gap=-0.3)(motion, silence, torch.zeros(len(motion)))


def test_a_direction_raises_its_own_reading_by_one(readout: LinearReadout) -> None:
    torch.testing.assert_close(readout(readout.directions()), torch.eye(len(READINGS)), atol=1e-5, rtol=0)


def test_removing_a_reading_keeps_the_others(readout: LinearReadout, motion: Tensor) -> None:
    others = [index for index in range(len(READINGS)) if index != LIPS]
    read = readout(readout.remove_reading(motion, LIPS))
    torch.testing.assert_close(read[:, LIPS], torch.zeros(FRAMES), atol=1e-5, rtol=0)
    torch.testing.assert_close(read[:, others], readout(motion)[:, others], atol=1e-5, rtol=0)


def test_an_unfitted_readout_removes_nothing(motion: Tensor) -> None:
    assert torch.equal(LinearReadout(SIZE).remove_reading(motion, LIPS), motion)


def test_neutral_controls_hold_only_the_lids(readout: LinearReadout, motion: Tensor, origin: Tensor) -> None:
    after = edit(readout, motion, origin, SAMPLED, torch.ones(FRAMES))
    torch.testing.assert_close(after - origin, readout.remove_reading(motion - origin, LIDS))


def test_lip_closure_in_silence_does_not_change_speech(readout: LinearReadout, motion: Tensor, origin: Tensor) -> None:
    assert torch.equal(
        edit(readout, motion, origin, MotionControls(shut_in_silence=1)), edit(readout, motion, origin, SAMPLED)
    )


@pytest.mark.parametrize("factor", [0, 0.5, 1.5, 2])
@pytest.mark.parametrize(("name", "moved"), CONTROLS.items())
def test_a_control_scales_its_own_readings_only(  # noqa: PLR0913, PLR0917 - fixtures
    readout: LinearReadout, motion: Tensor, origin: Tensor, name: str, moved: slice, factor: float
) -> None:
    before = readout(motion - origin)
    after = readout(edit(readout, motion, origin, replace(SAMPLED, **{name: factor})) - origin)
    expected = before.clone()
    expected[:, moved] *= factor
    expected[:, LIDS] = 0
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CONTROLS)
def test_motion_without_a_reading_is_scaled_with_the_head(
    readout: LinearReadout, motion: Tensor, origin: Tensor, name: str
) -> None:
    before = motion - origin
    after = edit(readout, motion, origin, replace(SAMPLED, **{name: 0.5})) - origin
    unread_before, unread_after = (part - readout(part) @ readout.directions() for part in (before, after))
    factor = 0.5 if name == "head_motion" else 1
    torch.testing.assert_close(unread_after, factor * unread_before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("strength", [0.5, 1])
def test_in_silence_only_the_lips_move_to_rest(
    readout: LinearReadout, motion: Tensor, origin: Tensor, strength: float
) -> None:
    silence = torch.linspace(0, 1, FRAMES)
    before = readout(motion - origin)
    after = readout(edit(readout, motion, origin, MotionControls(shut_in_silence=strength), silence) - origin)
    expected = before.clone()
    expected[:, LIPS] += strength * silence * (-0.3 - before[:, LIPS])
    expected[:, LIDS] = 0
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)


def test_a_lift_moves_the_lips_in_speech_and_not_at_rest(
    readout: LinearReadout, motion: Tensor, origin: Tensor
) -> None:
    silence, blinks = torch.linspace(0, 1, FRAMES), torch.zeros(FRAMES)
    editor = MotionEditor(MotionControls(), readout, origin, rest_gap=-0.3, lift=0.4)
    before, after = (readout(each - origin) for each in (motion, editor(motion, silence, blinks)))
    expected = before.clone()
    expected[:, LIPS] = (1 - silence) * (before[:, LIPS] + 0.4) + silence * -0.3
    expected[:, LIDS] = 0
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)


def test_controls_combine(readout: LinearReadout, motion: Tensor, origin: Tensor) -> None:
    before = readout(motion - origin)
    controls = MotionControls(expression=2, head_motion=0, shut_in_silence=1)
    after = edit(readout, motion, origin, controls, torch.ones(FRAMES)) - origin
    expected = torch.zeros_like(before)
    expected[:, MOOD], expected[:, LIPS] = 2 * before[:, MOOD], -0.3
    torch.testing.assert_close(readout(after), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after, expected @ readout.directions(), atol=1e-4, rtol=1e-4)


def test_an_unfitted_readout_changes_no_motion(motion: Tensor, origin: Tensor) -> None:
    controls = MotionControls(expression=0, head_motion=0, blink=0, shut_in_silence=1)
    assert torch.equal(edit(LinearReadout(SIZE), motion, origin, controls, torch.ones(FRAMES)), motion)


@pytest.mark.parametrize("name", ["expression", "head_motion", "blink", "shut_in_silence"])
@pytest.mark.parametrize("value", [-0.1, 2.1, float("nan"), float("inf")])
def test_a_value_out_of_range_is_rejected(readout: LinearReadout, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"The control {name} is .* Use 0 to"):
        edit(readout, torch.zeros(1, readout.weight.shape[1]), torch.zeros(1), replace(SAMPLED, **{name: value}))


@pytest.mark.parametrize("name", sorted(path.parent.name for path in RELEASED.glob("*/manifest.json")))
def test_every_released_readout_has_independent_directions(name: str) -> None:
    readout = load_networks(name, torch.device("cpu")).readout
    torch.testing.assert_close(readout(readout.directions()), torch.eye(len(READINGS)), atol=1e-4, rtol=0)
    assert readout.directions().norm(dim=1).mul(readout.weight.norm(dim=1)).max() < 3, "the readings overlap too much"


def sample(networks: Networks, source: Source, controls: MotionControls, seconds: float) -> list[Tensor]:
    """Return windows of motion (t, M) sampled from noise followed by two silent seconds."""
    samples = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)
    windows = sample_motion(networks, source, lambda: iter([samples]), round(seconds * 25) + 50, 0, controls=controls)
    return [window.float() for window in windows]


def read(networks: Networks, source: Source, controls: MotionControls) -> Tensor:
    """Return readings (100, 11) of sampled motion that is silent in its second half."""
    whiten = networks.diffusion.whitening
    motion = torch.cat(sample(networks, source, controls, 2))
    moved = whiten(motion, source.motion) - whiten(source.motion, source.motion)
    readings: Tensor = networks.readout(moved)
    return readings


@pytest.fixture(scope="module")
def sampled(quick: Networks, source: Source) -> Tensor:
    return read(quick, source, SAMPLED)


@pytest.mark.parametrize(("name", "moved"), CONTROLS.items())
@pytest.mark.parametrize("factor", [0, 0.5, 1.5])
def test_a_control_scales_tiny_s_motion_and_keeps_its_lips(  # noqa: PLR0913, PLR0917 - fixtures
    quick: Networks, source: Source, sampled: Tensor, name: str, moved: slice, factor: float
) -> None:
    after = read(quick, source, replace(SAMPLED, **{name: factor}))
    # Motion is stored in half precision.
    assert abs(after[:, moved].norm() / sampled[:, moved].norm() - factor) < 0.02
    assert torch.corrcoef(torch.stack([after[:, LIPS], sampled[:, LIPS]]))[0, 1] > 0.98


def test_tiny_s_lips_rest_in_a_pause_and_not_in_speech(quick: Networks, source: Source, sampled: Tensor) -> None:
    after = read(quick, source, replace(SAMPLED, shut_in_silence=1))
    assert after[56:, LIPS].std() < 0.01 < sampled[56:, LIPS].std()
    assert torch.equal(after[6:44], sampled[6:44])
    others = [row for row in range(len(READINGS)) if row != LIPS]
    torch.testing.assert_close(after[:, others], sampled[:, others], atol=0.01, rtol=0)


@pytest.mark.parametrize(("gap", "raised"), [(None, False), (0.01, True), (5.0, False)])
def test_lips_too_shut_for_the_portrait_are_raised(  # noqa: PLR0913 - fixtures
    quick: Networks,
    source: Source,
    sampled: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    *,
    gap: float | None,
    raised: bool,
) -> None:
    # The lips of this source rest near its own: count them as too shut anyway.
    monkeypatch.setattr(sampling, "CLOSED_BELOW", -0.5)
    monkeypatch.setattr(SourceGap, "forward", lambda _self, _frame: torch.tensor([gap]))
    source_gap = None if gap is None else SourceGap()
    lift = (read(replace(quick, source_gap=source_gap), source, SAMPLED) - sampled)[:, LIPS]
    assert lift.std() < 0.01, "all frames move alike"
    assert (float(lift.mean()) > 0.4) is raised


def test_controls_keep_motion_continuous_between_windows(networks: Networks, source: Source) -> None:
    controls = MotionControls(expression=1.5, head_motion=0.5, blink=2, shut_in_silence=1)
    windows = sample(networks, source, controls, 8)
    inside = torch.cat([window.diff(dim=0).norm(dim=1) for window in windows])
    across = torch.stack([(after[0] - before[-1]).norm() for before, after in pairwise(windows)])
    assert across.max() < 1.5 * inside.quantile(0.99)


@pytest.mark.parametrize("seconds", [2, 5])
def test_blinks_change_only_the_lids(quick: Networks, source: Source, seconds: float) -> None:
    never, often = (torch.cat(sample(quick, source, replace(SAMPLED, blink=amount), seconds)) for amount in (0, 2))
    whitening = quick.diffusion.whitening
    direction = (quick.readout.lid_closure * whitening.scale) @ whitening.basis.T
    closure = (often - never) @ direction / direction.square().sum()
    # Motion is stored in half precision.
    torch.testing.assert_close(often - never, closure[:, None] * direction, atol=0.01, rtol=0)
    blinks = int((closure > 0.99).sum())
    assert blinks > seconds / 4
    assert abs(float(closure.sum()) - blinks * sum(PROFILE)) < sum(PROFILE)
