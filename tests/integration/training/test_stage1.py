"""Stage 1: sampling of pairs, losses, training runs, and overfitting of one clip."""

from __future__ import annotations

import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import NARROW, REFINED, blob_clip
from tests.unit.training.stage1.test_exact_geometry import write_scene
from torch import Tensor

from dubline.models.precision import bf16_autocast
from dubline.models.presets import BASE, TINY, Preset
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.training.cli_errors import UsageError
from dubline.training.corpus import LIDS, LIPS, Clip
from dubline.training.stage1 import face_regions, latent_alignment, round_trips
from dubline.training.stage1 import train as stage1
from dubline.training.stage1.data.exact_geometry import DensePairSampler
from dubline.training.stage1.data.pairs import PairSampler
from dubline.training.stage1.losses.objective import Stage1Objective, head_loss
from dubline.training.stage1.losses.terms import FRAMED_LANDMARKS, face_weight, picture_loss
from dubline.training.stage1.recipe import Recipe
from dubline.training.stage1.round_trips import RoundTrips
from dubline.training.stage1.supervised_autoencoder import HeadOutputs, SupervisedAutoencoder

CPU = torch.device("cpu")
RECIPE = Recipe(steps=2, sources=2, drives=1, perceptual=0)


@pytest.fixture(scope="module")
def narrow(clips: list[Clip], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a run of NARROW, for tests of what follows such a run."""
    return stage1.train(clips, NARROW, tmp_path_factory.mktemp("narrow"), RECIPE)


@pytest.fixture(scope="module")
def refined(clips: list[Clip], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a run of REFINED without its refiner."""
    return stage1.train(clips, REFINED, tmp_path_factory.mktemp("refined"), RECIPE)


def copied(state: Path, folder: Path) -> Path:
    """Copy a run; return the copy's state."""
    return Path(shutil.copytree(state.parent, folder, dirs_exist_ok=True)) / state.name


def test_driving_frames_are_grouped_by_their_source(clips: list[Clip]) -> None:
    pairs = PairSampler(clips, CPU).draw(2, 3)
    assert pairs.sources.shape == (2, 3, 128, 128)
    assert pairs.driving.shape == pairs.augmented.shape == (6, 3, 128, 128)
    # Synthetic faces differ in skin colour: a driving frame is closer to its own source than to the other one.
    own, other = (
        (pairs.driving - rows.repeat_interleave(3, 0)).abs().mean() for rows in (pairs.sources, pairs.sources.flip(0))
    )
    assert own < other


def test_the_motion_encoders_input_has_other_colours_than_the_target(clips: list[Clip]) -> None:
    pairs = PairSampler(clips, CPU).draw(3, 1)
    assert (pairs.augmented - pairs.driving).abs().mean() > 0.02


def test_unlabelled_clips_do_not_affect_the_geometry_losses(clips: list[Clip]) -> None:
    bare = [replace(clip, landmarks=None, geometry=None, aperture_mm=None) for clip in clips[:1]]
    sampler = PairSampler([*clips[1:], *bare], CPU)
    pairs = sampler.draw(8, 1)
    assert 0 < pairs.landmarks_known.sum() < 8
    assert torch.equal(pairs.geometry_known, pairs.landmarks_known)
    model = SupervisedAutoencoder(TINY.autoencoder, sampler.mean.size)
    objective = Stage1Objective(perceptual=0, teacher=1, device=CPU)
    rendering, outputs = model(pairs.sources, pairs.augmented, 128)
    guessed = pairs.landmarks_known == 0
    changed = pairs._replace(geometry=torch.where(guessed[:, None], 100.0, pairs.geometry))
    assert objective(rendering, outputs, changed).total == objective(rendering, outputs, pairs).total
    wrong = outputs._replace(landmarks=torch.where(guessed[:, None, None], 0.9, outputs.landmarks))
    assert head_loss(wrong, pairs) == head_loss(outputs, pairs)


def test_the_head_loss_is_zero_for_true_landmarks_and_rises_with_errors(clips: list[Clip]) -> None:
    pairs = PairSampler(clips, CPU).draw(4, 2)
    right = HeadOutputs(torch.zeros(8, 1), pairs.geometry, pairs.driving_landmarks)
    assert head_loss(right, pairs) == 0
    lips, jaw = torch.zeros(68, 1), torch.zeros(68, 1)
    lips[48:68], jaw[:17] = 0.01, 0.01
    off = [head_loss(right._replace(landmarks=right.landmarks + part), pairs) for part in (lips, jaw)]
    assert off[0] > 5 * off[1] > 0


def test_an_untrained_head_predicts_a_framed_face_without_gradients(clips: list[Clip]) -> None:
    sampler = PairSampler(clips, CPU)
    pairs, model = sampler.draw(2, 1), SupervisedAutoencoder(TINY.autoencoder, sampler.mean.size)
    landmarks = model.predict(pairs.augmented).landmarks
    torch.testing.assert_close(landmarks, torch.from_numpy(FRAMED_LANDMARKS).expand(2, -1, -1))
    landmarks.sum().backward()
    gradients = [parameter.grad for parameter in model.autoencoder.motion_encoder.parameters()]
    assert not any(gradient.any() for gradient in gradients if gradient is not None)


def test_frames_selected_from_candidates_differ_more_from_the_source(clips: list[Clip]) -> None:
    sampler = PairSampler(clips, CPU)

    def difference(candidates: int) -> float:
        pairs = sampler.draw(24, 2, candidates)
        # Every second driving frame is selected by its lips.
        return float((pairs.driving[1::2] - pairs.sources).abs().mean())

    assert difference(6) > 1.3 * difference(1)


def test_every_other_driving_frame_is_selected_by_its_lids(clips: list[Clip]) -> None:
    # The mouth opens linearly; the eyes are closed in one frame of twenty.
    frames = np.arange(len(clips[0].frames))
    geometry = np.zeros((len(frames), 68), np.float32)
    geometry[:, LIPS] = frames[:, None]
    geometry[frames % 20 == 10, LIDS] = 1
    sampler = PairSampler([replace(clips[0], geometry=geometry)], CPU)
    times = np.array([sampler._times(0, 2, 12) for _ in range(200)])
    blinking = (times[:, 1:] % 20 == 10).mean(0)
    assert blinking[0] > 0.3 > 2 * blinking[1]


def test_half_of_the_sources_have_shut_lips(clips: list[Clip]) -> None:
    frames = np.arange(len(clips[0].frames))
    opening = np.where(frames % 20 == 3, 0.0, 8.0).astype(np.float32)
    sampler = PairSampler([replace(clips[0], aperture_mm=opening)], CPU)
    starts = np.array([sampler._times(0, 1, 1)[0] for _ in range(400)])
    assert 0.4 < (starts % 20 == 3).mean() < 0.65
    assert len(PairSampler([replace(clips[0], aperture_mm=None)], CPU).shut[0]) == 0


def test_measured_landmarks_select_driving_frames_by_the_lips(clips: list[Clip]) -> None:
    frames = np.arange(len(clips[0].frames))
    landmarks = np.repeat(FRAMED_LANDMARKS[None], len(frames), 0)
    landmarks[:, 60:68, 1] = 0.3
    landmarks[frames % 20 == 10, 65:68, 1] = 0.4
    clip = replace(clips[0], landmarks=landmarks, geometry=None, aperture_mm=None)
    sampler = PairSampler([clip], CPU)
    times = np.array([sampler._times(0, 2, 12) for _ in range(100)])
    shut = times[:, 0] % 20 != 10
    assert (times[shut, 1:] % 20 == 10).mean() > 0.3
    pairs = sampler.draw(2, 1)
    assert pairs.landmarks_known.all()
    assert not pairs.geometry_known.any()


def test_a_picture_is_rendered_from_itself_with_other_lips(clips: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_trips, "FRAMES", 48)
    sampler = PairSampler([*clips[:2], _picture(clips[2])], CPU)
    pairs = sampler.draw(12, 2)
    given = RoundTrips(Autoencoder(NARROW.autoencoder), sampler)(pairs)
    assert 0 < pairs.alone.sum() < 12
    same = (given.sources == pairs.sources).flatten(1).all(1)
    assert torch.equal(same, ~pairs.alone)
    assert torch.equal(given.driving, pairs.driving)
    assert (given.sources.abs() <= 1).all()


def test_a_rendered_source_of_a_picture_has_landmarks_of_its_own(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_trips, "FRAMES", 48)
    shown: list[torch.Tensor] = []

    def shown_at(displacement: torch.Tensor, points: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        shown.append(displacement)
        return points + 0.25

    monkeypatch.setattr(round_trips, "shown_at", shown_at)
    sampler = PairSampler([*clips[:2], _picture(clips[2])], CPU)
    pairs = sampler.draw(12, 2)
    given = RoundTrips(Autoencoder(NARROW.autoencoder), sampler)(pairs)
    moved = given.source_landmarks - pairs.source_landmarks
    assert torch.allclose(moved, 0.25 * pairs.alone.repeat_interleave(2)[:, None, None].float().expand_as(moved))
    # A displacement for each driving frame, equal for those of one source.
    assert len(shown[0]) == 2 * pairs.alone.sum()
    assert torch.equal(shown[0][0::2], shown[0][1::2])


def test_parted_lips_of_pictures_are_shut_and_shut_ones_parted(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_trips, "FRAMES", 48)
    trips = RoundTrips(Autoencoder(NARROW.autoencoder), PairSampler(clips, CPU))
    landmarks = torch.from_numpy(FRAMED_LANDMARKS).repeat(2, 1, 1)
    landmarks[:, 60:68, 1] = 0.3
    landmarks[:, 54] = landmarks[:, 48] + torch.tensor([0.4, 0.0])
    # Lower lips of the first: .2 of the width below the upper ones, which is 1 cm of 5.
    landmarks[0, 65:68, 1] += 0.08
    landmarks[:, 65:68, 0] = landmarks[:, 61:64, 0].flip(1)
    parted, shut = trips._changes(landmarks).tolist()
    assert -1.31 < parted < -0.29
    assert 0.3 <= shut <= 1.2


def _picture(clip: Clip) -> Clip:
    landmarks = None if clip.landmarks is None else clip.landmarks[:1]
    return replace(clip, kind="picture", frames=clip.frames[:1], landmarks=landmarks, geometry=None, aperture_mm=None)


@pytest.mark.usefixtures("_few_frames")
def test_pictures_train_the_refiner_beside_rendered_clips(
    clips: list[Clip], refined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_trips, "FRAMES", 48)
    path = copied(refined, tmp_path)
    before = torch.load(path, weights_only=True)["average"]
    refine = replace(RECIPE, resume=True, refine_mouth_eyes=True)
    stage1.train([*clips, _picture(clips[0])], REFINED, tmp_path, refine)
    assert _changed(before, torch.load(path, weights_only=True)["network"]) == {"mouth_eye_refiner"}
    with pytest.raises(UsageError, match="rendered clips beside them"):
        stage1.train([_picture(clips[0])], REFINED, tmp_path, refine)


def test_a_seed_determines_the_pairs(clips: list[Clip]) -> None:
    sampler = PairSampler(clips, CPU)
    sampler.seed(5)
    first = sampler.draw(2, 2)
    sampler.seed(5)
    again = sampler.draw(2, 2)
    assert torch.equal(first.augmented, again.augmented)
    assert torch.equal(first.driving_landmarks, again.driving_landmarks)


def test_a_run_writes_state_curves_and_a_sheet_and_resumes(clips: list[Clip], narrow: Path, tmp_path: Path) -> None:
    assert torch.load(narrow, weights_only=True)["steps"] == 2
    assert {"stage1.png", "stage1.jsonl"} <= {file.name for file in narrow.parent.iterdir()}
    path = copied(narrow, tmp_path)
    stage1.train(clips, NARROW, tmp_path, replace(RECIPE, resume=True))
    assert torch.load(path, weights_only=True)["steps"] == 4


def test_keep_motion_trains_the_renderer_only(clips: list[Clip], narrow: Path, tmp_path: Path) -> None:
    path = copied(narrow, tmp_path)
    before = torch.load(path, weights_only=True)["average"]
    stage1.train(clips, NARROW, tmp_path, replace(RECIPE, resume=True, keep_motion=True))
    after = torch.load(path, weights_only=True)["network"]
    changed = _changed(before, after)
    assert "frame_decoder" in changed
    assert not {"motion_encoder", "appearance_extractor"} & changed


def _changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {key.split(".")[1] for key in before if not torch.equal(before[key], after[key])}


@pytest.fixture
def dense(tmp_path: Path) -> DensePairSampler:
    """Pairs with exact flow."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    write_scene(folder / "00000.npz", 128)
    return DensePairSampler(folder, 128)


def test_pictures_train_the_deformation_beside_exact_flow(
    clips: list[Clip], narrow: Path, dense: DensePairSampler, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, start_from=narrow, keep_motion=True)
    pictures = [_picture(clips[0]), replace(_picture(clips[1]), landmarks=None)]
    path = stage1.train([*clips, *pictures], NARROW, tmp_path / "run", recipe, dense)
    assert "transfer" in torch.load(path, weights_only=True)["figures"]
    with pytest.raises(UsageError, match="pictures alone"):
        stage1.train(pictures, NARROW, tmp_path, recipe, dense)


@pytest.mark.usefixtures("_few_frames")
def test_refine_mouth_eyes_trains_the_refiner_only(
    clips: list[Clip], narrow: Path, refined: Path, tmp_path: Path
) -> None:
    path = copied(refined, tmp_path)
    before = torch.load(path, weights_only=True)["average"]
    refine = replace(RECIPE, refine_mouth_eyes=True)
    stage1.train(clips, REFINED, tmp_path, replace(refine, steps=3, resume=True))
    state = torch.load(path, weights_only=True)
    assert state["steps"] == RECIPE.steps + 3
    for kind in ("network", "average"):
        assert _changed(before, state[kind]) == {"mouth_eye_refiner"}
    with pytest.raises(UsageError, match="nothing to refine"):
        stage1.train(clips, REFINED, tmp_path, replace(refine, resume=True, size_px=128))
    with pytest.raises(UsageError, match="no mouth-eye refiner"):
        stage1.train(clips, NARROW, tmp_path / "narrow", replace(refine, start_from=narrow))


@pytest.mark.usefixtures("_few_frames")
def test_a_refiner_is_adapted_to_changed_latents(
    clips: list[Clip], narrow: Path, refined: Path, tmp_path: Path
) -> None:
    refine = replace(RECIPE, start_from=refined, refine_mouth_eyes=True)
    old = stage1.train(clips, REFINED, tmp_path / "old", replace(refine, learning_rate=0.2))
    on = stage1.train(clips, REFINED, tmp_path / "on", replace(refine, former=old))
    trained, adapted = (_finish(path, "average") for path in (old, on))
    assert trained.abs().max() > 1e-4
    torch.testing.assert_close(adapted, trained, atol=3e-5, rtol=0)
    torch.testing.assert_close(_finish(on, "network"), trained, atol=3e-5, rtol=0)
    # A run that resumes its own refiner ignores another one.
    resumed = replace(refine, start_from=None, resume=True, former=refined, learning_rate=0)
    stage1.train(clips, REFINED, tmp_path / "on", resumed)
    torch.testing.assert_close(_finish(on, "average"), trained, atol=1e-4, rtol=0)
    with pytest.raises(UsageError, match="--formerly needs --refine-mouth-eyes"):
        replace(RECIPE, start_from=refined, former=old)
    with pytest.raises(UsageError, match="of another network"):
        stage1.train(clips, REFINED, tmp_path / "bare", replace(refine, former=narrow))


@pytest.mark.long
def test_an_adapted_refiner_has_the_same_readings_in_other_latents(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latent_alignment, "FRAMES", 720)
    monkeypatch.setattr(face_regions, "SOURCES", 96)
    params = REFINED.autoencoder
    sampler = PairSampler(clips, CPU)
    former = Autoencoder(params).eval()
    former.mouth_eye_refiner.readings.bias.data.normal_()
    # The same encoder with its latents permuted, scaled and shifted.
    network = deepcopy(former)
    last = network.motion_encoder.body[-1]
    order = torch.randperm(params.motion)
    last.weight.data, last.bias.data = -2 * last.weight.data[order], -2 * last.bias.data[order] + 0.1
    assert latent_alignment.align_refiner(network, former, sampler) > 0.97
    one, other = (sampler.draw(4, 1).sources for _ in range(2))

    def readings(autoencoder: Autoencoder) -> Tensor:
        motion, origin = autoencoder.encode_motion(one), autoencoder.encode_motion(other)
        return autoencoder.mouth_eye_refiner.readings(torch.cat([motion, motion - origin], dim=1))

    with torch.inference_mode():
        wanted, adapted = readings(former), readings(network)
    assert (adapted - wanted).square().mean() < 0.05 * wanted.var(0).mean()


def _finish(path: Path, kind: str) -> Tensor:
    """Return the last layer of a run's mouth refiner; it is initialised with zeros."""
    tensors: dict[str, Tensor] = torch.load(path, weights_only=True)[kind]
    last = max(key for key in tensors if key.startswith("autoencoder.mouth_eye_refiner.boxes.mouth.output"))
    return tensors[last]


def learn_by_heart(preset: Preset, psnr: float, steps: int, count: int = 5) -> None:
    """Train on one clip of a few frames until it is rendered at a PSNR in dB."""
    torch.manual_seed(0)
    clip = blob_clip(3, frames=count, size_px=preset.size_px)
    frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    weight = face_weight(torch.from_numpy(np.asarray(clip.landmarks)), preset.size_px)
    model = SupervisedAutoencoder(preset.autoencoder, 2)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    reached, step = 0.0, 0
    while reached < psnr and step < steps:
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * min(1, (step + 1) / 20)
        with bf16_autocast(CPU):
            rendering, _ = model(frames[:1], frames[1:], preset.size_px)
        picture = rendering.frame.float()
        loss = picture_loss(picture, frames[1:], weight[1:]) + picture_loss(rendering.warped, frames[1:], weight[1:])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        reached = -10 * float(((picture - frames[1:]).detach().square().mean() / 4).log10())
    still = -10 * float(((frames[:1] - frames[1:]).square().mean() / 4).log10())
    assert reached >= psnr > still


def test_training_overfits_one_clip() -> None:
    """Train from pixels to pixels on a clip of three frames until its PSNR is 30 dB."""
    learn_by_heart(NARROW, 30, 100, count=3)


@pytest.mark.long
@pytest.mark.parametrize("preset", [TINY, BASE], ids=lambda preset: preset.name)
def test_presets_learn_one_clip_by_heart_to_35_db(preset: Preset) -> None:
    learn_by_heart(preset, 35, 400)
