"""Training samples of the part for mouths: its inputs, which are constant while all else is frozen, and its targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from dubline.models.precision import training_autocast
from dubline.models.stage1 import mouth_motion
from dubline.models.stage1.mouth_eye_refiner import BOXES, GRID, BoxInputs
from dubline.training.mouth.lip_registration import register_lips
from dubline.training.stage1.losses.registration import register
from dubline.training.stage1.supervised_autoencoder import repeated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.models.stage1.autoencoder import Autoencoder, Rendering
    from dubline.models.stage1.mouth_eye_refiner import MouthEyeRefiner
    from dubline.training.stage1.data.pairs import Pairs


class Samples(NamedTuple):
    """A batch of the mouth's box, or without the first axis one sample."""

    pictures: Tensor
    """(B, P, h, w), as the others down to `condition` of `BoxInputs`."""
    weight: Tensor
    """(B, 1, h, w)."""
    condition: Tensor
    """(B, N)."""
    warped: Tensor
    """(B, 3, h, w), the moved source in the rendered frame: sampled bicubically, unlike that of the pictures."""
    target: Tensor
    """(B, 3, h, w), the driving frame, registered to the rendering, and its lips to the moved ones."""
    landmarks: Tensor
    """(B, 68, 2), of the target, in [-1, 1] of the box."""

    @property
    def inputs(self) -> BoxInputs:
        """What the mouth's pixels are generated from."""
        return BoxInputs(self.pictures, self.weight, self.condition)

    @property
    def motion(self) -> Tensor:
        """(B, 5, h, w), of `mouth_motion`."""
        return self.pictures[:, -mouth_motion.PLANES :]

    @torch.no_grad()
    def shown_by(self, refiner: MouthEyeRefiner) -> Tensor:
        """Return the mouths that a network shows: (B, 3, h, w)."""
        colour, occlusion = refiner.refine("mouth", self.inputs)
        return self.warped + occlusion * (colour - self.warped)

    def halves(self) -> Iterator[Samples]:
        """Yield the samples of a batch in fp16, but the landmarks, for storing."""
        pixels = (part.detach().half() for part in self[:-1])
        yield from map(Samples._make, zip(*pixels, self.landmarks, strict=True))

    @classmethod
    def batch(cls, stored: list[Samples]) -> Samples:
        """Join stored samples to a batch in fp32."""
        return cls(*(torch.stack(part).float() for part in zip(*stored, strict=True)))


@torch.no_grad()
def compute_samples(network: Autoencoder, pairs: Pairs) -> Samples:
    """Render pairs up to the mouth's refinement.

    Args:
        network: stage 1 with a mouth-eye refiner.
        pairs: with known landmarks, at the networks' full side.
    """
    with training_autocast(pairs.driving.device):
        rendering, inputs = render(network, pairs)
    pairs = register_lips(register(pairs, rendering.deformation.mixed), rendering.deformation.mixed)
    rows, columns = BOXES["mouth"].slices(pairs.driving.shape[-1])
    warped, target = (picture[..., rows, columns] for picture in (rendering.warped, pairs.driving))
    return Samples(*inputs, warped, target, in_box(pairs.driving_landmarks))


def render(network: Autoencoder, pairs: Pairs) -> tuple[Rendering, BoxInputs]:
    """Render pairs; also return what their mouths were refined from."""
    sources, driving = (part.contiguous(memory_format=torch.channels_last) for part in (pairs.sources, pairs.driving))
    source, motion = network.encode_source(sources), network.encode_motion(driving)
    refiner, kept = network.mouth_eye_refiner, list[BoxInputs]()
    if refiner is None:
        raise ValueError("this network has no mouth-eye refiner")
    # A hook, so that inference does not return what only training needs.
    hook = refiner.register_forward_pre_hook(lambda _, given: kept.append(refiner.mouth_inputs(*given)))
    rendering: Rendering = network(repeated(source, len(driving) // len(sources), mouth_eyes_refined=True), motion)
    hook.remove()
    return rendering, kept[0]


def in_box(landmarks: Tensor) -> Tensor:
    """Convert landmarks (B, 68, 2) from [-1, 1] of the frame to [-1, 1] of the mouth's box."""
    left, top, width, height = BOXES["mouth"]
    size = landmarks.new_tensor([width, height])
    middle = landmarks.new_tensor([left, top]) + size / 2
    return ((landmarks + 1) * GRID / 2 - middle) * 2 / size
