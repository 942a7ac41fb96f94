"""Everything stage 1 is criticised for, weighed and added up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor, nn

from dubline.models.layers import resize
from dubline.training.corpus import LIDS, LIPS
from dubline.training.stage1.data.exact_geometry import flow_loss, visibility_loss
from dubline.training.stage1.losses.discriminator import AdversarialLoss
from dubline.training.stage1.losses.perceptual import Part, PerceptualLoss, face_crops
from dubline.training.stage1.losses.terms import (
    colour_loss,
    face_weight,
    landmark_loss,
    landmark_weight,
    lid_coverage_loss,
    lid_motion_mask,
    mouth_mask,
    occlusion_loss,
    opening_loss,
    picture_loss,
    threshold_loss,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dubline.models.stage1.autoencoder import Rendering
    from dubline.training.stage1.data.pairs import Pairs
    from dubline.training.stage1.supervised_autoencoder import HeadOutputs

#: What an error weighs beside one of the picture. The warped picture counts for itself, so that painting does not
#: excuse it. Lips are two readings of many, and the reason for all of it; lids are one.
WARPED: Final = 0.8
THRESHOLD: Final = 0.5
PAINTING: Final = 2.0
COVERING: Final = 1.0
COLOUR: Final = 4.0
#: The same for what exact geometry teaches.
MOVED: Final = 6.0
OPENED: Final = 40.0
HIDDEN: Final = 0.03
GEOMETRY: Final = 0.3
LIP_READING: Final = 0.4
LID_READING: Final = 0.2
#: Of a landmark's distance in half sides.
LANDMARK_READING: Final = 6.0
#: Crops for the perceptual loss, as shares of the frame's side, and the smallest that its network is asked about.
CROPS: Final[dict[Part, float]] = {"mouth": 3 / 8, "eyes": 3 / 8}
SMALLEST_CROP_PX: Final = 64


class ObjectiveValue(NamedTuple):
    """The loss and what to print beside it."""

    total: Tensor
    figures: Mapping[str, Tensor]


class Stage1Objective:
    """Weighs the losses of stage 1.

    Args:
        perceptual: weight of the perceptual loss on mouth and eyes; 0 leaves its network unloaded.
        adversarial: weight of the discriminator's verdict on mouths; 0 is without. Eyes that are mostly not painted
            teach one nothing, and what it said of them turned lids green (docs/log.md).
        teacher: weight of everything that exact geometry teaches.
        device: where batches are.
    """

    def __init__(self, perceptual: float, adversarial: float, teacher: float, device: torch.device) -> None:
        self.perceptual, self.adversarial, self.teacher = perceptual, adversarial, teacher
        self.look: nn.Module | None = PerceptualLoss().to(device) if perceptual else None
        self.adversary = AdversarialLoss(device) if adversarial else None

    @property
    def companions(self) -> Mapping[str, AdversarialLoss]:
        """What learns beside the student."""
        return {"adversary": self.adversary} if self.adversary else {}

    def __call__(self, rendering: Rendering, read: HeadOutputs, pairs: Pairs) -> ObjectiveValue:
        """Judge a rendering of N driving frames and what was read off them."""
        side = rendering.frame.shape[-1]
        target = resize(pairs.driving, side, side)
        landmarks = pairs.driving_landmarks
        frame, warped = rendering.frame.float(), rendering.warped.float()
        occlusion = rendering.generated.occlusion.float()
        weight = face_weight(landmarks, side)
        total = picture_loss(frame, target, weight) + WARPED * picture_loss(warped, target, weight)
        total = total + THRESHOLD * threshold_loss(frame, target)
        lids = lid_motion_mask(pairs.source_landmarks, landmarks, side)
        free = torch.maximum(lids, mouth_mask(landmarks, side))
        total = total + PAINTING * occlusion_loss(occlusion, warped.detach(), target, free)
        total = total + COVERING * lid_coverage_loss(occlusion, lids)
        coloured = colour_loss(rendering.generated.colour.float(), warped.detach(), target, weight, free)
        total = total + COLOUR * coloured
        moved, misread = self._motion(rendering, pairs), head_loss(read, pairs)
        total = total + self.teacher * (moved + misread)
        figures = {
            "psnr": -10 * ((frame - target).detach().square().mean() / 4 + 1e-9).log10(),
            "colour": coloured.detach(),
        }
        if pairs.dense is None:
            figures |= {"moved": moved.detach(), "read": misread.detach()}
        else:
            figures |= {"flow": moved.detach()}
        if self.look is not None:
            looked = self._detect(frame, target, landmarks)
            total = total + self.perceptual * looked
            figures["look"] = looked.detach()
        if self.adversary is not None:
            real, fake = (_crop(picture, landmarks, "mouth") for picture in (target, frame))
            figures["critic"] = self.adversary.step(real, fake)
            total = total + self.adversarial * self.adversary.loss(fake, real)
        return ObjectiveValue(total, figures)

    @staticmethod
    def _motion(rendering: Rendering, pairs: Pairs) -> Tensor:
        mixed = rendering.deformation.mixed
        marks = pairs.source_landmarks, pairs.driving_landmarks, pairs.marked
        opened = OPENED * opening_loss(mixed, *marks)
        if pairs.dense is None:
            return opened + MOVED * landmark_loss(mixed, *marks)
        hidden = visibility_loss(rendering.generated.occlusion, pairs.dense)
        return opened + MOVED * flow_loss(mixed, pairs.dense) + HIDDEN * hidden

    def _detect(self, frame: Tensor, target: Tensor, landmarks: Tensor) -> Tensor:
        if self.look is None:
            raise RuntimeError("no perceptual loss was asked for")
        losses = [self.look(*(_crop(picture, landmarks, part) for picture in (frame, target))) for part in CROPS]
        return torch.stack(losses).sum()


def head_loss(read: HeadOutputs, pairs: Pairs) -> Tensor:
    """How wrongly rig and landmarks were read off the latents, where they are known; lips and lids count more."""
    weight = torch.full_like(pairs.geometry[0], GEOMETRY / pairs.geometry.shape[1])
    weight[LIPS] += LIP_READING / 2
    weight[LIDS] += LID_READING
    misread = (read.geometry.float() - pairs.geometry).square() * pairs.rigged[:, None]
    off = (read.landmarks.float() - pairs.driving_landmarks).abs()
    seen = landmark_weight(pairs.driving_landmarks, pairs.marked)
    return (misread @ weight).mean() + LANDMARK_READING * (seen[..., None] * off).mean()


def _crop(picture: Tensor, landmarks: Tensor, part: Part) -> Tensor:
    side_px = max(SMALLEST_CROP_PX, 16 * round(CROPS[part] * picture.shape[-1] / 16))
    return face_crops(picture, landmarks, part, side_px)
