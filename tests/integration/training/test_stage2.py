"""Stage 2: switches, saved parameters, rollouts, and adaptation to other latents."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import SMALL
from torch import nn

from dubline.models import sampling
from dubline.models.stage2.denoiser import Condition
from dubline.models.stage2.diffusion import Diffusion
from dubline.training.cli_errors import UsageError
from dubline.training.stage1.supervised_autoencoder import SupervisedAutoencoder
from dubline.training.stage2 import latent_alignment, lip_check
from dubline.training.stage2 import train as stage2
from dubline.training.stage2.denoising_loss import continuing, lips_of, loss_of, own_past
from dubline.training.stage2.encoded_clips import (
    EncodedClip,
    encode,
    fingerprint,
    fit_statistics,
    read_encoded,
)
from dubline.training.stage2.latent_alignment import align_latents
from dubline.training.stage2.lip_check import LipCheck
from dubline.training.stage2.mixture import clip_probabilities
from dubline.training.stage2.recipe import Recipe
from dubline.training.stage2.spoken_gap_head import SpokenGapHead
from dubline.training.stage2.training_params import TrainingParams, load_stage2, read_training_params
from dubline.training.stage2.waveform_augmentation import change_speed
from dubline.training.stage2.windows import WindowSampler

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.models.presets import Preset
    from dubline.training.corpus import Clip

CPU = torch.device("cpu")
RECIPE = Recipe(batch=4, variants=0, steps=2)
#: Of the files of the synthetic clips, which are encoded once.
NAMES = ["a", "b", "c"]
RELEASED: dict[str, Any] = {}
EPSILON: dict[str, Any] = {"objective": "epsilon"}
WITHOUT: dict[str, Any] = {"dropout": 0.1, "uses_style": False, "uses_articulation": False, "uses_appearance": False}
# The short tests have each switch once; the long ones have it alone.
SWITCHED = [
    RELEASED,
    {"objective": "x0"},
    EPSILON,
    WITHOUT,
    *(pytest.param({name: False}, marks=pytest.mark.long) for name in WITHOUT if name.startswith("uses_")),
]
switches = pytest.mark.parametrize("switched", SWITCHED, ids=lambda given: "-".join(map(str, given)) or "released")


def with_switches(switched: dict[str, Any]) -> Preset:
    return replace(SMALL, diffusion=replace(SMALL.diffusion, **switched))


@pytest.fixture(scope="module")
def model() -> SupervisedAutoencoder:
    torch.manual_seed(0)
    return SupervisedAutoencoder(SMALL.autoencoder, 2).eval()


@pytest.fixture(scope="module")
def encoded(clips: list[Clip], model: SupervisedAutoencoder) -> list[EncodedClip]:
    augmented = [change_speed(clips[0].speech, 1.1)]
    return [encode(clip, model.autoencoder, augmented) for clip in clips]


def ready(encoded: list[EncodedClip], switched: dict[str, Any]) -> tuple[Diffusion, WindowSampler]:
    torch.manual_seed(0)
    diffusion = Diffusion(with_switches(switched))
    fit_statistics(diffusion, encoded)
    return diffusion, WindowSampler(encoded, diffusion, seed=0)


@pytest.fixture(scope="module")
def trained(clips: list[Clip], model: SupervisedAutoencoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of SMALL."""
    folder = tmp_path_factory.mktemp("trained")
    torch.save({"average": model.state_dict(), "steps": 0}, folder / "stage1.pt")
    stage2.train(clips, SMALL, folder, RECIPE, names=NAMES)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """The folder of a run with a stage 1 and encoded clips, but without a state."""
    for name in ("stage1.pt", "encoded.pt"):
        shutil.copy(trained / name, tmp_path)
    return tmp_path


@switches
def test_each_switch_trains_and_samples(
    encoded: list[EncodedClip], model: SupervisedAutoencoder, switched: dict[str, Any]
) -> None:
    diffusion, windows = ready(encoded, switched)
    lips = lips_of(diffusion, model.geometry_head)
    optimiser = torch.optim.AdamW(diffusion.parameters(), 4e-3)
    batch, losses = windows.draw(4), []
    for _ in range(12):
        loss = loss_of(diffusion, lips, batch, draws=2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])
    unused = [name for name, parameter in diffusion.named_parameters() if parameter.grad is None]
    assert unused == []
    score = LipCheck(encoded, windows, lips[:, -1]).score(diffusion.eval(), CPU)
    assert -1 <= score <= 1


@pytest.mark.parametrize("switched", [RELEASED, EPSILON, WITHOUT], ids=["released", "epsilon", "without"])
def test_a_checkpoint_has_its_switches(clips: list[Clip], run: Path, switched: dict[str, Any]) -> None:
    preset = with_switches(switched)
    path = stage2.train(clips, preset, run, RECIPE, names=NAMES)
    # Loaded with the released parameters; those of the file take precedence.
    diffusion = load_stage2(SMALL, path)
    assert diffusion.params == replace(preset.diffusion, dropout=0.0)
    assert all(tensor.isfinite().all() for tensor in diffusion.state_dict().values())
    state = torch.load(path, weights_only=True)
    autoencoder, _ = stage2.load_stage1(preset, run)
    assert state["companions"]["params"] == TrainingParams(preset.diffusion, fingerprint(autoencoder)).state_dict()
    stage2.train(clips, preset, run, replace(RECIPE, resume=True), names=NAMES)
    assert torch.load(path, weights_only=True)["steps"] > state["steps"] > 0
    other = with_switches({"objective": "flow" if preset.diffusion.objective == "x0" else "x0"})
    with pytest.raises(ValueError, match=f"trained with objective={preset.diffusion.objective}"):
        stage2.train(clips, other, run, Recipe(resume=True))


def test_training_starts_from_averages_alone(clips: list[Clip], trained: Path, run: Path) -> None:
    average = run / "elsewhere.pt"
    torch.save({"average": torch.load(trained / "stage2.pt", weights_only=True)["average"], "steps": 5}, average)
    path = stage2.train(clips, SMALL, run, replace(RECIPE, start_from=average), names=NAMES)
    assert path.exists()


def test_windows_with_an_earlier_window_have_sampled_previous_frames(encoded: list[EncodedClip]) -> None:
    diffusion, windows = ready(encoded, {})
    batch = windows.draw(6, earlier=2)
    assert batch.earlier is not None
    assert (batch.known[:2] == 1).all()
    assert (batch.earlier.ahead >= diffusion.params.previous).all()
    past = own_past(diffusion.eval(), batch)
    assert torch.equal(past[2:], batch.previous[2:])
    assert not torch.isclose(past[:2], batch.previous[:2]).all()
    loss_of(diffusion, torch.zeros(16, 2), batch, rollout=diffusion).backward()


def test_the_reading_of_the_gap_trains_the_extractor_and_the_head(encoded: list[EncodedClip], trained: Path) -> None:
    diffusion, windows = ready(encoded, {})
    head, lips, batch = SpokenGapHead(diffusion.params.audio_width, CPU), torch.randn(16, 2), windows.draw(4)

    def gradient(gap_head: SpokenGapHead | None) -> torch.Tensor:
        torch.manual_seed(0)
        loss = loss_of(diffusion.eval(), lips, batch, gap_head=gap_head)
        (result,) = torch.autograd.grad(loss, [diffusion.articulation_extractor.norm.weight], retain_graph=True)
        return result

    assert not torch.allclose(gradient(head), gradient(None))
    # A run trains it: its optimiser has moments.
    assert torch.load(trained / "stage2.pt", weights_only=True)["companions"]["gap_head"]["optimiser"]["state"]


def test_sampled_frames_are_those_before_the_window(
    encoded: list[EncodedClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    diffusion, windows = ready(encoded, {})
    batch = windows.draw(4, earlier=4)
    assert batch.earlier is not None
    count = torch.arange(float(diffusion.params.window))[None, :, None].expand(4, -1, 16)

    def numbered(_: Diffusion, condition: Condition, *__: object) -> torch.Tensor:
        assert (condition.known == 0).all()
        return count

    monkeypatch.setattr(sampling, "sample_window", numbered)
    last = own_past(diffusion, batch)[:, -1, 0]
    assert torch.equal(last, batch.earlier.ahead - 1.0)


def test_targets_that_continue_the_true_previous_frames_are_the_truth(encoded: list[EncodedClip]) -> None:
    _, windows = ready(encoded, {})
    batch = windows.draw(6, earlier=4)
    assert batch.earlier is not None
    past = batch.previous.clone()
    past[:4, -1] = batch.earlier.last
    assert torch.equal(continuing(batch, past).clean, batch.clean)
    past[:4, -1] += 1
    shift = continuing(batch, past).clean - batch.clean
    assert 0.95 < shift[:4, 0].min() < 1
    assert not shift[4:].any()
    assert not shift[:, sampling.FADE_FRAMES :].any()
    # Without noise the previous frames end where the target begins.
    step = (batch.clean[:, 1:] - batch.clean[:, :-1]).abs().mean()
    assert (batch.clean[:4, 0] - batch.earlier.last).abs().mean() < 2 * step


def test_the_lip_check_scores_the_truth_with_one(
    encoded: list[EncodedClip], model: SupervisedAutoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    diffusion, windows = ready(encoded, {})
    reading = lips_of(diffusion, model.geometry_head)[:, -1]
    plain = [clip._replace(gap=None) for clip in encoded]
    check = LipCheck(plain, windows, reading)
    truth = torch.stack([windows.motion(clip, 0, 1.0, 0, diffusion.params.window) for clip in plain])
    monkeypatch.setattr(lip_check, "sample_window", lambda *_: truth)
    assert check.score(diffusion, CPU) == pytest.approx(1, abs=1e-3)
    monkeypatch.setattr(lip_check, "sample_window", lambda *_: -truth)
    assert check.score(diffusion, CPU) == pytest.approx(-1, abs=1e-3)


def test_a_seed_determines_the_stream(encoded: list[EncodedClip]) -> None:
    drawn = []
    for _ in range(2):
        _, windows = ready(encoded, {})
        stream = windows.stream(3, 1)
        drawn.append([next(stream), next(stream)])
    assert torch.equal(drawn[0][1].clean, drawn[1][1].clean)
    assert not torch.equal(drawn[0][0].clean, drawn[0][1].clean)
    earlier = drawn[0][0].to(CPU).earlier
    assert earlier is not None
    assert len(earlier.slices) == 1


def test_motion_follows_the_speed_of_the_recording(encoded: list[EncodedClip]) -> None:
    diffusion, windows = ready(encoded, {})
    clip = encoded[0]
    ramp = torch.arange(float(len(clip.latents)))[:, None].expand(-1, SMALL.autoencoder.motion).half()
    steady = clip._replace(latents=ramp)
    diffusion.whitening.basis.zero_()[0, 0] = 1
    diffusion.whitening.scale.fill_(1)
    diffusion.whitening.mean.zero_()
    windows = WindowSampler([steady], diffusion, seed=0)
    moved = windows.motion(steady, 0, 1.1, -4, 60)[:, 0]
    torch.testing.assert_close(moved[4:], 1.1 * torch.arange(60.0), atol=0.05, rtol=0)
    assert (moved[:4] == 0).all()
    faster = encoded[0].recordings[1]
    assert faster.speed == pytest.approx(1.1, rel=1e-3)
    assert len(faster.mel) == 4 * (int(79 / faster.speed) + 1)


def test_clips_without_labels_or_sound_are_accepted(clips: list[Clip], run: Path) -> None:
    plain = [replace(clip, landmarks=None, geometry=None, aperture_mm=None) for clip in clips]
    silent = replace(plain[0], speech=np.zeros(0, np.float32))
    short = replace(plain[0], frames=plain[0].frames[:30], speech=plain[0].speech[: 30 * 640])
    recipe = replace(RECIPE, variants=1)
    given = [silent, short, plain[1]]
    path = stage2.train(given, SMALL, run, recipe, heldout=plain[2:])
    assert load_stage2(SMALL, path).params == SMALL.diffusion
    with pytest.raises(ValueError, match="no clip has 64 frames"):
        stage2.train([short], SMALL, run, recipe)


def test_a_stage_one_without_labels_has_no_lip_readings(encoded: list[EncodedClip]) -> None:
    diffusion, _ = ready(encoded, {})
    assert not lips_of(diffusion, nn.Linear(SMALL.autoencoder.motion, 1)).any()


def test_resuming_with_another_stage_one_is_refused(clips: list[Clip], trained: Path, run: Path) -> None:
    shutil.copy(trained / "stage2.pt", run)
    state = torch.load(run / "stage1.pt", weights_only=True)
    state["average"]["autoencoder.motion_encoder.body.0.0.weight"] += 0.1
    torch.save(state, run / "stage1.pt")
    with pytest.raises(ValueError, match="must be retrained"):
        stage2.train(clips, SMALL, run, replace(RECIPE, resume=True))


@pytest.mark.parametrize("switched", [{}, {"uses_style": False}, {"uses_appearance": False}])
def test_aligned_latents_give_equal_predictions(switched: dict[str, Any]) -> None:
    torch.manual_seed(0)
    before = [EncodedClip(str(i), torch.randn(240, 192), torch.randn(48, 64), (), None) for i in range(8)]
    # Appearance correlates with motion: the source's codes are not independent.
    before = [clip._replace(appearance=clip.appearance + clip.latents[::5, :64]) for clip in before]
    rotation, _ = torch.linalg.qr(torch.randn(192, 192))
    after = [
        clip._replace(latents=3 * clip.latents @ rotation, appearance=0.5 * clip.appearance + 1) for clip in before
    ]
    former = Diffusion(with_switches(switched)).eval()
    fit_statistics(former, before)
    for parameter in (*former.denoiser.output_projection.parameters(), *former.denoiser.modulation.parameters()):
        nn.init.normal_(parameter, std=0.1)
    aligned = Diffusion(with_switches(switched)).eval()
    aligned.load_state_dict(former.state_dict())
    assert align_latents(aligned, before, after) > 0.99

    def predicted(diffusion: Diffusion, clip: EncodedClip) -> torch.Tensor:
        params = diffusion.params
        motion = diffusion.whitening(clip.latents, clip.latents[0])[: params.previous + params.window]
        latent, appearance = diffusion.standardise(clip.latents[:1], clip.appearance[:1])
        articulation = torch.ones(1, params.previous + params.window, params.audio_width)
        style = torch.ones(1, params.style if params.uses_style else 0)
        previous = motion[None, : params.previous]
        condition = Condition(articulation, style, appearance, latent, previous, torch.ones(1, 1))
        drawn = diffusion.denoiser(motion[None, params.previous :], torch.tensor([0.5]), condition)
        return drawn * diffusion.whitening.scale @ diffusion.whitening.basis.T

    with torch.no_grad():
        old, new = predicted(former, before[0]), predicted(aligned, after[0])
    assert float((new - 3 * old @ rotation).square().sum() / new.square().sum()) < 0.01


def test_alignment_runs_on_the_networks_device() -> None:
    """Latents are stored on the CPU; the meta device replaces a GPU."""
    diffusion = Diffusion(SMALL).to("meta")
    clip = EncodedClip("a", torch.randn(80, 192), torch.randn(16, 64), (), None)
    assert next(latent_alignment._motions(diffusion, clip)).is_meta
    assert latent_alignment._source_codes(diffusion, clip).is_meta


def test_training_starts_from_averages_of_another_stage_one(clips: list[Clip], trained: Path, tmp_path: Path) -> None:
    former, other = trained / "stage2.pt", tmp_path
    torch.save({"average": SupervisedAutoencoder(SMALL.autoencoder, 2).state_dict(), "steps": 0}, other / "stage1.pt")
    former_clips = read_encoded(trained / "encoded.pt").training
    once = replace(RECIPE, steps=1, start_from=former)
    path = stage2.train(clips, SMALL, other, once, names=NAMES, former=former_clips)
    expected = load_stage2(SMALL, former)
    before = expected.denoiser.input_projection.weight.clone()
    align_latents(expected, former_clips, read_encoded(other / "encoded.pt").training)
    state = torch.load(path, weights_only=True)
    for kind in ("network", "average"):
        torch.testing.assert_close(state[kind]["whitening.basis"], expected.whitening.basis)
        weight = state[kind]["denoiser.input_projection.weight"]
        torch.testing.assert_close(weight, expected.denoiser.input_projection.weight, atol=1e-4, rtol=0)
        assert (weight - before).abs().max() > 1e-2
    with pytest.raises(UsageError, match="needs --start-from"):
        stage2.train(clips, SMALL, other, replace(once, start_from=None), former=former_clips)
    with pytest.raises(UsageError, match="encoded"):
        read_encoded(path)
    with pytest.raises(UsageError, match="encoded"):
        read_encoded(other / "stage1.pt.missing")
    with pytest.raises(UsageError, match="none of these clips"):
        align_latents(load_stage2(SMALL, former), [former_clips[0]._replace(name="stranger")], former_clips)


def test_a_state_with_parameters_of_an_earlier_version_is_rejected(tmp_path: Path) -> None:
    torch.save({"average": {}, "steps": 1, "companions": {"params": {"earlier_option": True}}}, tmp_path / "stage2.pt")
    with pytest.raises(UsageError, match=r"earlier version \(earlier_option\)"):
        read_training_params(tmp_path / "stage2.pt")


def test_half_of_the_windows_come_from_recorded_persons(encoded: list[EncodedClip]) -> None:
    _, all_equal = ready(encoded, {})
    assert all_equal.probabilities is None
    rendered = [encoded[0]._replace(name=str(i)) for i in range(20)]
    persons = [encoded[0]._replace(name=f"anna-{i}", gap=None) for i in range(9)]
    persons.append(encoded[0]._replace(name="bela-0", gap=None))
    clips = rendered + persons
    shares = clip_probabilities(clips, 0.5)
    assert shares is not None
    assert shares[:20].sum() == pytest.approx(0.5)
    assert shares[20:29].sum() == pytest.approx(3 * shares[29])
    with pytest.raises(ValueError, match="--recorded needs"):
        clip_probabilities(persons, 0.5)


def test_averages_keep_their_statistics_on_other_clips(clips: list[Clip], trained: Path, run: Path) -> None:
    first = load_stage2(SMALL, trained / "stage2.pt")
    recipe = replace(RECIPE, steps=1, start_from=trained / "stage2.pt")
    again = load_stage2(SMALL, stage2.train(clips[:1], SMALL, run, recipe, names=NAMES[:1]))
    assert torch.equal(first.whitening.basis, again.whitening.basis)
    assert torch.equal(first.source_std, again.source_std)
