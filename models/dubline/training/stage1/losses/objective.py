"""The weighted sum of all stage 1 losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor, nn

from dubline.models.layers import resize
from dubline.training.corpus import LIDS, LIPS
from dubline.training.stage1.data.exact_geometry import flow_loss, visibility_loss
from dubline.training.stage1.losses.mixing import plane_loss, region_loss
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

#: Weights of loss terms relative to the picture loss of the rendering. The warped picture has a loss of its own, so
#: that generated pixels do not hide a wrong deformation.
WARPED: Final = 0.8
THRESHOLD: Final = 0.5
OCCLUSION: Final = 2.0
LID_COVERAGE: Final = 1.0
COLOUR: Final = 4.0
#: Weights of the losses on exact geometry. Lips and lids have additional weight: they are few of many rig parameters.
MOTION: Final = 6.0
OPENING: Final = 56.0
VISIBILITY: Final = 0.03
#: Weights of the losses on regions and planes, both at most about 2.
REGIONS: Final = 0.05
PLANES: Final = 0.05
GEOMETRY: Final = 0.3
LIP_HEAD: Final = 0.4
LID_HEAD: Final = 0.2
#: Weight of a landmark's distance in half sides.
LANDMARK_HEAD: Final = 6.0
#: Crops for the perceptual loss, as shares of the frame's side, and their least side.
CROPS: Final[dict[Part, float]] = {"mouth": 3 / 8, "eyes": 3 / 8}
SMALLEST_CROP_PX: Final = 64


class ObjectiveValue(NamedTuple):
    """The loss and its figures."""

    total: Tensor
    figures: Mapping[str, Tensor]
    """For the progress line and the curves."""


class Stage1Objective:
    """Computes and weighs the losses of stage 1.

    Args:
        perceptual: weight of the perceptual loss on mouth and eyes; at 0 its network is not loaded.
        teacher: weight of the losses on exact geometry.
        device: of the batches.
    """

    def __init__(self, perceptual: float, teacher: float, device: torch.device) -> None:
        self.perceptual, self.teacher = perceptual, teacher
        self.perceptual_loss: nn.Module | None = PerceptualLoss().to(device) if perceptual else None

    def __call__(self, rendering: Rendering, outputs: HeadOutputs, pairs: Pairs) -> ObjectiveValue:
        """Compute the loss of a rendering of N driving frames and of the heads' outputs."""
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
        total = total + OCCLUSION * occlusion_loss(occlusion, warped.detach(), target, free)
        total = total + LID_COVERAGE * lid_coverage_loss(occlusion, lids)
        colour = colour_loss(rendering.generated.colour.float(), warped.detach(), target, weight, free)
        total = total + COLOUR * colour
        motion, heads = self._motion(rendering, pairs), head_loss(outputs, pairs)
        total = total + self.teacher * (motion + heads)
        figures = {
            "psnr": -10 * ((frame - target).detach().square().mean() / 4 + 1e-9).log10(),
            "colour": colour.detach(),
        }
        if pairs.dense is None:
            figures |= {"motion": motion.detach(), "heads": heads.detach()}
        else:
            figures |= {"flow": motion.detach()}
        if outputs.mixing is not None:
            regions = region_loss(outputs.mixing)
            total = total + REGIONS * regions
            figures["regions"] = regions.detach()
            if pairs.dense is not None:
                total = total + self.teacher * PLANES * plane_loss(outputs.mixing, pairs.dense)
        if self.perceptual_loss is not None:
            perceptual = self._perceptual(self.perceptual_loss, frame, target, landmarks)
            total = total + self.perceptual * perceptual
            figures["perceptual"] = perceptual.detach()
        return ObjectiveValue(total, figures)

    @staticmethod
    def _motion(rendering: Rendering, pairs: Pairs) -> Tensor:
        mixed = rendering.deformation.mixed
        landmarks = pairs.source_landmarks, pairs.driving_landmarks, pairs.landmarks_known
        opening = OPENING * opening_loss(mixed, *landmarks)
        if pairs.dense is None:
            return opening + MOTION * landmark_loss(mixed, *landmarks)
        visibility = visibility_loss(rendering.generated.occlusion, pairs.dense)
        return opening + MOTION * flow_loss(mixed, pairs.dense) + VISIBILITY * visibility

    @staticmethod
    def _perceptual(loss: nn.Module, frame: Tensor, target: Tensor, landmarks: Tensor) -> Tensor:
        losses = [loss(*(_crop(picture, landmarks, part) for picture in (frame, target))) for part in CROPS]
        return torch.stack(losses).sum()


def head_loss(outputs: HeadOutputs, pairs: Pairs) -> Tensor:
    """Compute the error of predicted rig parameters and landmarks where they are known; lips and lids weigh more."""
    weight = torch.full_like(pairs.geometry[0], GEOMETRY / pairs.geometry.shape[1])
    weight[LIPS] += LIP_HEAD / 2
    weight[LIDS] += LID_HEAD
    error = (outputs.geometry.float() - pairs.geometry).square() * pairs.geometry_known[:, None]
    distance = (outputs.landmarks.float() - pairs.driving_landmarks).abs()
    landmarks = landmark_weight(pairs.driving_landmarks, pairs.landmarks_known)
    return (error @ weight).mean() + LANDMARK_HEAD * (landmarks[..., None] * distance).mean()


def _crop(picture: Tensor, landmarks: Tensor, part: Part) -> Tensor:
    side_px = max(SMALLEST_CROP_PX, 16 * round(CROPS[part] * picture.shape[-1] / 16))
    return face_crops(picture, landmarks, part, side_px)
