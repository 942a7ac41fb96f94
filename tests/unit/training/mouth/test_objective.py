"""The losses of the part for mouths."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from tests.unit.training.conftest import REFINED
from torch import Tensor

from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.models.stage1.mouth_eye_refiner import INPUTS, MouthEyeRefiner, RegionRefiner
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
    pictures, target, warped = (
        torch.rand(2, count, SIDE, SIDE, generator=generator) for count in (INPUTS["mouth"], 3, 3)
    )
    landmarks = in_box(torch.from_numpy(FRAMED_LANDMARKS).repeat(2, 1, 1))
    weight = torch.ones(2, 1, SIDE, SIDE)
    return Samples(pictures, weight, torch.randn(2, 144, generator=generator), warped, target, landmarks)


def value(recipe: Recipe, refiner: MouthEyeRefiner, samples: Samples, steps: int) -> tuple[Tensor, MouthObjective]:
    """Compute the loss after so many steps of the adversary."""
    objective = MouthObjective(recipe, output_layer(refiner))
    objective.adversary.steps = steps
    return objective(samples, *refiner.mouth_without_teeth(samples.inputs)).total, objective


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_the_adversarial_gradient_has_the_share_asked_for(
    refiner: MouthEyeRefiner, samples: Samples, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MATCHING", 0.0)
    layer = output_layer(refiner)
    both, others = (
        torch.autograd.grad(value(Recipe(perceptual=0, adversarial=part), refiner, samples, RAMP_STEPS)[0], layer)[0][
            module.JUDGED
        ]
        for part in (share, 0.0)
    )
    assert (both - others).norm().item() == pytest.approx(share * others.norm().item(), rel=1e-3)


def test_an_untrained_adversary_has_no_effect(refiner: MouthEyeRefiner, samples: Samples) -> None:
    recipe = Recipe(perceptual=0)
    first, objective = value(recipe, refiner, samples, 0)
    assert first.item() == value(Recipe(perceptual=0, adversarial=0), refiner, samples, 0)[0].item()
    assert objective.adversary.steps == 1
    assert value(recipe, refiner, samples, RAMP_STEPS // 2)[0] > first


def test_pixels_of_visible_teeth_are_not_compared(
    refiner: MouthEyeRefiner, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, teeth = refiner.mouth_without_teeth(samples.inputs)
    visible = module.visible_teeth(samples)
    shown = torch.zeros(2, 1, SIDE, SIDE)
    shown[..., 20:40, 20:40] = 1
    monkeypatch.setattr(module, "visible_teeth", lambda _: visible._replace(teeth=shown))
    monkeypatch.setattr(module, "teeth_losses", lambda *_: {"none": torch.zeros(())})
    objective = MouthObjective(Recipe(adversarial=0), output_layer(refiner))
    first, changed, beside = (
        objective(samples, pixels._replace(colour=pixels.colour + 0.5 * mask), teeth).total.item()
        for mask in (0 * shown, shown, shown.roll(12, dims=2))
    )
    assert changed == pytest.approx(first, rel=1e-6)
    assert beside != pytest.approx(first, rel=1e-2)


def test_rows_of_teeth_do_not_weigh_the_adversary(
    refiner: MouthEyeRefiner, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = module.teeth_losses

    def ratio(factor: float) -> float:
        torch.manual_seed(0)
        monkeypatch.setattr(
            module, "teeth_losses", lambda *given: {name: factor * loss for name, loss in kept(*given).items()}
        )
        return value(Recipe(perceptual=0), refiner, samples, RAMP_STEPS)[1].balance.ratio

    monkeypatch.setattr("dubline.training.mouth.teeth.COVERAGE", 0.0)
    assert ratio(50.0) == pytest.approx(ratio(0.0), rel=1e-3)


def test_generated_lips_have_a_price_and_the_inside_of_a_mouth_has_none(samples: Samples) -> None:
    landmarks, target = samples.landmarks.clone(), torch.zeros_like(samples.target)
    landmarks[:, 65:68, 1] += 0.3
    samples = samples._replace(target=target, warped=target, landmarks=landmarks)
    parted = module.parted_lips_mask(landmarks, SIDE)
    inside, lips = (parted > 0.99).float(), ((parted == 0) & (module.mouth_mask(landmarks, SIDE) > 0.9)).float()
    assert lips.any()

    def loss(occlusion: Tensor) -> float:
        return module.pixel_loss(
            samples, GeneratedPixels(target, occlusion), target, module.mouth_weight(samples)
        ).item()

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
