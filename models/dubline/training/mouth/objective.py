"""The losses of the part for mouths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor, nn

from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.models.stage1.mouth_colour import LUMA
from dubline.models.stage1.mouth_eye_refiner import CHANGES
from dubline.models.stage1.teeth import Teeth
from dubline.training.mouth.adversary import Adversary
from dubline.training.mouth.balance import GradientBalance
from dubline.training.mouth.teeth import teeth_losses, visible_teeth
from dubline.training.stage1.losses.perceptual import PerceptualLoss, face_crops
from dubline.training.stage1.losses.terms import (
    MOUTH,
    chroma_loss,
    colour_loss,
    gaussian,
    mouth_mask,
    occlusion_loss,
    parted_lips_mask,
    picture_loss,
    threshold_loss,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from dubline.training.mouth.recipe import Recipe
    from dubline.training.mouth.samples import Samples

#: Weights of the pixel losses relative to the picture loss, and of all of them together: then their gradient is about
#: as large as that of the perceptual loss.
CHROMA: Final = 12.0
THRESHOLD: Final = 0.5
OCCLUSION: Final = 6.0
COLOUR: Final = 4.0
PIXELS: Final = 0.25
#: The middle of the mouth weighs so much more, with this spread in widths of the mouth. Pixels that are not refined
#: keep a little weight.
MIDDLE: Final = 10.0
SPREAD: Final = 0.4
UNREFINED: Final = 0.05
#: How free generated pixels of lips are, as a share of those between them: moved lips are sharper.
FREE_LIPS: Final = 0.35
#: Sides in px of the crops for the perceptual loss and for the discriminator, and width of the latter over the mouth's.
PERCEPTUAL_PX: Final = 96
ADVERSARY_PX: Final = 64
ADVERSARY_MARGIN: Final = 1.4
#: Weight of the distance of the discriminator's features beside the adversarial loss.
MATCHING: Final = 0.5
#: Rows of the output layer that the discriminator judges: those of colour and occlusion.
JUDGED: Final = slice(4 * CHANGES)
#: Steps over which both are ramped up: an untrained discriminator gives no useful gradient.
RAMP_STEPS: Final = 300


class ObjectiveValue(NamedTuple):
    """The loss and its figures."""

    total: Tensor
    figures: Mapping[str, Tensor | float]
    """For the progress line and the curves."""


class MouthObjective:
    """Computes and weighs the losses, and trains the adversary.

    Args:
        recipe: weights.
        layer: weights of the output layer, at which gradients are compared.
    """

    def __init__(self, recipe: Recipe, layer: Tensor) -> None:
        self.recipe, self.layer = recipe, layer
        self.perceptual: nn.Module | None = PerceptualLoss().to(layer.device) if recipe.perceptual else None
        self.adversary, self.balance = Adversary(layer.device), GradientBalance()

    @property
    def companions(self) -> Mapping[str, Any]:
        """What the session saves and restores beside the network."""
        return {"adversary": self.adversary, "balance": self.balance}

    def __call__(self, samples: Samples, generated: GeneratedPixels, teeth: Teeth) -> ObjectiveValue:
        """Compute the loss of the mouths that are generated for a batch of samples.

        Generated pixels are compared where the targets show no teeth; there, they are those of the targets.
        """
        generated, teeth = GeneratedPixels(*map(Tensor.float, generated)), Teeth(*map(Tensor.float, teeth))
        visible, weight = visible_teeth(samples), mouth_weight(samples)
        frame = samples.warped + generated.occlusion * (generated.colour - samples.warped)
        frame = frame + visible.teeth * (samples.target - frame)
        of_teeth = teeth_losses(samples, generated, teeth, visible, weight * samples.weight)
        pixels = pixel_loss(samples, generated, frame, weight * (1 - visible.teeth))
        total = PIXELS * (pixels + torch.stack(list(of_teeth.values())).sum())
        error = (frame - samples.target).detach()
        figures: dict[str, Tensor | float] = {"psnr": -10 * (error.square().mean() / 4 + 1e-9).log10()}
        figures |= {name: loss.detach() for name, loss in of_teeth.items()}
        if self.perceptual is not None:
            crops = (face_crops(part, samples.landmarks, "mouth", PERCEPTUAL_PX) for part in (frame, samples.target))
            perceptual = self.perceptual(*crops)
            total = total + self.recipe.perceptual * perceptual
            figures["perceptual"] = perceptual.detach()
        if self.recipe.adversarial:
            adversarial, further = self._adversarial(samples, frame, total)
            total, figures = total + adversarial, figures | further
        return ObjectiveValue(total, figures)

    def _adversarial(self, samples: Samples, frame: Tensor, others: Tensor) -> tuple[Tensor, dict[str, Tensor | float]]:
        real, fake = (adversary_crops(picture, samples.landmarks) for picture in (samples.target, frame))
        ramp = min(1.0, self.adversary.steps / RAMP_STEPS)
        separation = self.adversary.step(real, fake)
        verdict = self.adversary.verdict(fake, real)
        ratio = self.balance.update(verdict.adversarial, others, self.layer, JUDGED)
        loss = self.recipe.adversarial * ramp * (ratio * verdict.adversarial + MATCHING * verdict.matching)
        return loss, {"discriminator": separation, "adversarial": verdict.adversarial.detach(), "ratio": ratio}


def mouth_weight(samples: Samples) -> Tensor:
    """Compute the weight of pixels (B, 1, h, w), largest in the middle of the mouth."""
    return 1 + MIDDLE * gaussian(samples.landmarks[:, MOUTH], SPREAD, samples.target.shape[-1])


def pixel_loss(samples: Samples, generated: GeneratedPixels, frame: Tensor, weight: Tensor) -> Tensor:
    """Compute all losses on pixels with weights (B, 1, h, w)."""
    landmarks, warped, target = samples.landmarks, samples.warped, samples.target
    side = target.shape[-1]
    weight = weight * samples.weight.clamp_min(UNREFINED)
    parted, free = parted_lips_mask(landmarks, side), mouth_mask(landmarks, side)
    loss = picture_loss(frame, target, weight) + CHROMA * chroma_loss(frame, target, weight * parted)
    loss = loss + THRESHOLD * threshold_loss(frame, target)
    inside = torch.maximum(parted, FREE_LIPS * free)
    loss = loss + OCCLUSION * occlusion_loss(generated.occlusion, warped, target, inside)
    return loss + COLOUR * colour_loss(generated.colour, warped, target, weight, free)


def adversary_crops(pictures: Tensor, landmarks: Tensor) -> Tensor:
    """Return what the discriminator sees (B, 2, h, w): the mouth's luma, and where its lips are parted, in [-1, 1].

    Colours are left to the other losses: a discriminator that sees them makes teeth green, or yellow.
    """
    parted = 2 * parted_lips_mask(landmarks, pictures.shape[-1]) - 1
    luma = (pictures * pictures.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    return face_crops(torch.cat([luma, parted], dim=1), landmarks, "mouth", ADVERSARY_PX, ADVERSARY_MARGIN)
