"""The losses of the part for mouths."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from tests.unit.training.conftest import REFINED
from torch import Tensor

from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.models.stage1.mouth_eye_refiner import MouthEyeRefiner, RegionRefiner
from dubline.training.mouth import objective as module
from dubline.training.mouth.objective import RAMP_STEPS, MouthObjective
from dubline.training.mouth.recipe import Recipe
from dubline.training.mouth.samples import Samples, in_box
from dubline.training.stage1.losses.terms import FRAMED_LANDMARKS

SIDE = 64


@pytest.fixture
def refiner() -> MouthEyeRefiner:
    torch.manual_seed(0)
    network = MouthEyeRefiner(REFINED.autoencoder)
    torch.nn.init.normal_(cast("RegionRefiner", network.boxes["mouth"]).output[-1].weight, std=0.1)
    return network


def output_layer(refiner: MouthEyeRefiner) -> Tensor:
    return cast("Tensor", cast("RegionRefiner", refiner.boxes["mouth"]).output[-1].weight)


@pytest.fixture
def samples() -> Samples:
    generator = torch.Generator().manual_seed(1)
    pictures, target, warped = (torch.rand(2, count, SIDE, SIDE, generator=generator) for count in (13, 3, 3))
    landmarks = in_box(torch.from_numpy(FRAMED_LANDMARKS).repeat(2, 1, 1))
    weight = torch.ones(2, 1, SIDE, SIDE)
    return Samples(pictures, weight, torch.randn(2, 144, generator=generator), warped, target, landmarks)


def value(recipe: Recipe, refiner: MouthEyeRefiner, samples: Samples, steps: int) -> tuple[Tensor, MouthObjective]:
    """Compute the loss after so many steps of the adversary."""
    objective = MouthObjective(recipe, output_layer(refiner))
    objective.adversary.steps = steps
    return objective(samples, samples.generate(refiner)).total, objective


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_the_adversarial_gradient_has_the_share_asked_for(
    refiner: MouthEyeRefiner, samples: Samples, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MATCHING", 0.0)
    layer = output_layer(refiner)
    both, others = (
        torch.autograd.grad(value(Recipe(perceptual=0, adversarial=part), refiner, samples, RAMP_STEPS)[0], layer)[0]
        for part in (share, 0.0)
    )
    assert (both - others).norm().item() == pytest.approx(share * others.norm().item(), rel=1e-3)


def test_an_untrained_adversary_has_no_effect(refiner: MouthEyeRefiner, samples: Samples) -> None:
    recipe = Recipe(perceptual=0)
    first, objective = value(recipe, refiner, samples, 0)
    assert first.item() == value(Recipe(perceptual=0, adversarial=0), refiner, samples, 0)[0].item()
    assert objective.adversary.steps == 1
    assert value(recipe, refiner, samples, RAMP_STEPS // 2)[0] > first


def test_between_the_lips_errors_count_less_and_chroma_in_full(
    samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    landmarks, target = samples.landmarks.clone(), torch.zeros_like(samples.target)
    # A wide open mouth.
    landmarks[:, 65:68, 1] += 0.3
    samples = samples._replace(target=target, warped=target, landmarks=landmarks)
    inside = module.parted_lips_mask(landmarks, SIDE)

    def loss(weight: float, error: list[float]) -> float:
        monkeypatch.setattr(module, "BETWEEN_LIPS", weight)
        frame = target + inside * torch.tensor(error)[:, None, None]
        return module.pixel_loss(samples, GeneratedPixels(frame, torch.zeros(2, 1, SIDE, SIDE)), frame).item()

    grey, green = [0.2, 0.2, 0.2], [-0.2, 0.2, -0.2]
    assert loss(0.5, grey) < 0.7 * loss(1.0, grey)
    chroma = [loss(weight, green) - loss(weight, grey) for weight in (0.5, 1.0)]
    assert chroma[0] == pytest.approx(chroma[1], rel=1e-3)
    assert chroma[0] > 0.1 * loss(0.5, green)


def test_generated_lips_have_a_price_and_the_inside_of_a_mouth_has_none(samples: Samples) -> None:
    landmarks, target = samples.landmarks.clone(), torch.zeros_like(samples.target)
    landmarks[:, 65:68, 1] += 0.3
    samples = samples._replace(target=target, warped=target, landmarks=landmarks)
    parted = module.parted_lips_mask(landmarks, SIDE)
    inside, lips = (parted > 0.99).float(), ((parted == 0) & (module.mouth_mask(landmarks, SIDE) > 0.9)).float()
    assert lips.any()

    def loss(occlusion: Tensor) -> float:
        return module.pixel_loss(samples, GeneratedPixels(target, occlusion), target).item()

    nothing = loss(0 * inside)
    assert loss(inside) == pytest.approx(nothing, abs=1e-6)
    # Where moved pixels are right, as a share of the full price.
    price = (loss(lips) - nothing) / (module.OCCLUSION * lips.mean().item())
    assert 0.5 < price < 0.8


def test_the_discriminator_sees_no_colours(samples: Samples) -> None:
    # The same luma.
    reddish = samples.target + torch.tensor([0.7152, -0.2126, 0.0])[:, None, None] * 0.1
    crops = [module.adversary_crops(picture, samples.landmarks) for picture in (samples.target, reddish)]
    torch.testing.assert_close(*crops)
    assert crops[0].shape[1] == 2
    assert crops[0][:, :1].std() > 0.01
