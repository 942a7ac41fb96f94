"""Refinement network for mouth and eyes: generates their pixels again at the side of the motion encoder's input."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dubline.models.layers import (
    KEPT,
    ConvBlock,
    Modulation,
    ResidualBlock,
    WithCore,
    full_precision,
    pixel_middles,
    resize,
    upsample,
    warp,
)
from dubline.models.stage1 import mouth_motion, teeth
from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.models.stage1.mouth_colour import reddened, whitened
from dubline.models.stage1.mouth_opening import limited

if TYPE_CHECKING:
    from dubline.models.presets import AutoencoderParams

#: Boxes are on this grid, so that they have whole pixels at every side of the networks.
GRID: Final = 32
#: Position of mouth and eyes in a framed face, in half sides: mouth centre (x, y), mouth width, eye centre (x, y).
DEFAULT_REGIONS: Final = (0.0, 0.35, 0.33, 0.0, -0.14)
#: Planes that all refiners see: warped, generated and unmoved colour, and occlusion.
COMMON: Final = (3, 3, 3, 1)
#: Planes that each box's refiner sees; the mouth's sees its motion, too.
INPUTS: Final = {"mouth": sum(COMMON) + mouth_motion.PLANES, "eyes": sum(COMMON)}
#: Planes of the change of colour and occlusion, and of each box's output: the mouth's has those of `Teeth`, too.
CHANGES: Final = 4
OUTPUTS: Final = {"mouth": CHANGES + teeth.PLANES, "eyes": CHANGES}
#: Half axes of the regions that may be refined, in widths of the mouth.
HALF_AXES: Final = {"mouth": (0.85, 0.40), "eyes": (1.5, 0.5)}
#: The refinement fades out between these distances from the centre, in half axes.
NEAR: Final = 0.85
FAR: Final = 1.25
#: Lower bound of the mouth width read off a latent.
MIN_MOUTH_WIDTH: Final = 0.15
#: Share of a box over which the refinement fades out towards its edges.
EDGE_FADE: Final = 0.125
#: Occlusion is clamped to [MIN, 1 - MIN], so that its logit is finite.
MIN_OCCLUSION: Final = 1e-3


class Box(NamedTuple):
    """A rectangle of the square frame, in units of its side / GRID."""

    left: int
    top: int
    width: int
    height: int

    def slices(self, side: int) -> tuple[slice, slice]:
        """Return the rows and columns in a frame of this side, a multiple of GRID."""
        unit = side // GRID
        rows = slice(unit * self.top, unit * (self.top + self.height))
        return rows, slice(unit * self.left, unit * (self.left + self.width))


#: The refined boxes, with margins for turned heads and for the error of the face detector.
BOXES: Final = {"mouth": Box(left=8, top=13, width=16, height=16), "eyes": Box(left=6, top=8, width=20, height=10)}


class FrameInputs(NamedTuple):
    """What the refinements of all boxes of a frame have in common."""

    network_frame: Tensor
    """(B, 3, S, S), the source."""
    displacement: Tensor
    """(B, 2, S, S), the mixed deformation."""
    condition: Tensor
    """(B, N), readings of the motion."""
    regions: dict[str, tuple[Tensor, Tensor]]
    """Centre and half axes (B, 2) of mouth and eyes of the source, in [-1, 1]."""


class BoxInputs(NamedTuple):
    """All that the refinement of one box depends on. With the rest of stage 1 frozen it is constant."""

    pictures: Tensor
    """(B, `INPUTS` of the box, h, w)."""
    weight: Tensor
    """(B, 1, h, w) in [0, 1], of the refinement."""
    condition: Tensor
    """(B, N), readings of the motion."""


class RegionRefiner(WithCore):
    """A small U-Net for one box, conditioned on motion at every level; its output is 0 at initialisation."""

    def __init__(self, widths: tuple[int, int, int], motion: int, planes: int, outputs: int) -> None:
        super().__init__()
        fine, middle, coarse = widths
        # With 2 x 2 pixels as channels.
        self.input_block = ConvBlock(4 * planes, fine)
        self.down = ConvBlock(fine, middle, stride=2)
        self.middle_motion = Modulation(motion, middle)
        self.middle = ResidualBlock(middle)
        self.deep_down = ConvBlock(middle, coarse, stride=2)
        self.deep_motion = Modulation(motion, coarse)
        self.deep = nn.Sequential(ResidualBlock(coarse), nn.SiLU(), ResidualBlock(coarse), nn.SiLU())
        self.deep_up = nn.Conv2d(coarse, middle, 1)
        self.up = nn.Sequential(ConvBlock(middle, middle), nn.Conv2d(middle, fine, 1))
        self.fine_motion = Modulation(motion, fine)
        self.output = nn.Sequential(nn.SiLU(), ConvBlock(fine, fine), nn.Conv2d(fine, 4 * outputs, 3, padding=1))
        for parameter in self.output[-1].parameters():
            nn.init.zeros_(parameter)

    @property
    def is_untrained(self) -> bool:
        """Whether the output layer is still 0."""
        return not any(parameter.any() for parameter in self.output[-1].parameters())

    def forward(self, pictures: Tensor, motion: Tensor) -> Tensor:
        """Compute the change of colour and occlusion.

        Args:
            pictures: (B, `INPUTS` of the box, h, w): warped, generated and unmoved colour, and occlusion; for the mouth
                then `mouth_motion`. Sides are multiples of 8.
            motion: (B, N).

        Returns:
            (B, `OUTPUTS` of the box, h, w): change of the colour and of the occlusion's logit; for the mouth then what
            `Teeth.read` converts.
        """
        (change,) = self.run_core(pictures, motion)
        return change.float()

    def core(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs (B, O, h, w) for pictures (B, P, h, w) and motion (B, N)."""
        pictures, motion = inputs
        fine = self.input_block(F.pixel_unshuffle(pictures, 2))
        middle = self.middle(self.middle_motion(self.down(fine), motion))
        deep = self.deep(self.deep_motion(self.deep_down(middle), motion))
        middle = middle + upsample(self.deep_up(deep))
        fine = self.fine_motion(fine + upsample(self.up(middle)), motion)
        return (F.pixel_shuffle(self.output(fine), 2),)


class MouthEyeRefiner(nn.Module):
    """Generated pixels at the rendering side -> at the networks' full side, refined inside the boxes.

    The warp moves what the source shows. What it does not show, such as the inside of a closed mouth or lids that come
    down, is generated. The latents determine it better than the warp, so they condition this network again. A crease
    under a chin can look like lips; therefore the positions of mouth and eyes are read off the source's latent.
    """

    def __init__(self, params: AutoencoderParams) -> None:
        super().__init__()
        if params.mouth_eye_widths is None:
            raise ValueError("these parameters have no mouth-eye refiner: give mouth_eye_widths")
        readings = params.mouth_eye_motion
        self.face_regions = nn.Linear(params.motion, len(DEFAULT_REGIONS))
        nn.init.zeros_(self.face_regions.weight)
        self.face_regions.bias = nn.Parameter(torch.tensor(DEFAULT_REGIONS))
        self.readings = nn.Linear(2 * params.motion, readings)
        self.motion = nn.Sequential(nn.Linear(readings, readings), nn.SiLU())
        self.boxes = nn.ModuleDict(
            {name: RegionRefiner(params.mouth_eye_widths, readings, INPUTS[name], OUTPUTS[name]) for name in BOXES}
        )

    @property
    def is_untrained(self) -> bool:
        """Whether the output layer is still 0."""
        return all(refiner.is_untrained for refiner in self._refiners())

    def _refiners(self) -> list[RegionRefiner]:
        return [cast("RegionRefiner", self.boxes[name]) for name in BOXES]

    @torch.no_grad()
    def init_readings(self, head: Tensor) -> None:
        """Initialise the readings with a trained linear head (G, M), applied to the latent and to its difference.

        The variance of lips and lids in the latents is small; from random weights it is learnt late.
        """
        count, motion = min(len(head), self.readings.out_features // 2), head.shape[1]
        # If not all rows fit, the last ones are kept: they are those of lids and lips.
        head = head[-count:]
        self.readings.weight[: 2 * count] = 0
        self.readings.weight[:count, :motion] = head
        self.readings.weight[count : 2 * count, motion:] = head

    def _regions(self, latent: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Read centre and half axes (B, 2) of mouth and eyes off the source's latent (B, M)."""
        with full_precision(latent.device):
            read = self.face_regions(latent.float())
        width = read[:, 2:3].clamp_min(MIN_MOUTH_WIDTH)
        centres = {"mouth": read[:, :2], "eyes": read[:, 3:]}
        return {name: (centres[name], width * width.new_tensor(HALF_AXES[name])) for name in BOXES}

    def forward(
        self,
        network_frame: Tensor,
        displacement: Tensor,
        generated: GeneratedPixels,
        motion: Tensor,
        source_motion: Tensor,
    ) -> GeneratedPixels:
        """Refine generated pixels.

        Args:
            network_frame: (B, 3, S, S), the source, S a multiple of 4 * GRID.
            displacement: (B, 2, h, w), the mixed deformation.
            generated: of the frame decoder, at any side.
            motion: (B, M), the latent.
            source_motion: (B, M), the source's latent.

        Returns:
            Generated pixels at side S. Refined colour may exceed [-1, 1] slightly.
        """
        frame = self._frame_inputs(network_frame, displacement, motion, source_motion)
        side = network_frame.shape[-1]
        # The refined boxes are written into these.
        refined = GeneratedPixels(*(resize(part, side, side).clone() for part in generated))
        for name in BOXES:
            # Boxes overlap: the second one refines the result of the first.
            pixels = self.refine(name, _box_inputs(name, frame, refined))
            for whole, part in zip(refined, pixels, strict=True):
                whole[..., *BOXES[name].slices(side)] = part
        return refined

    def mouth_inputs(
        self,
        network_frame: Tensor,
        displacement: Tensor,
        generated: GeneratedPixels,
        motion: Tensor,
        source_motion: Tensor,
    ) -> BoxInputs:
        """Compute what the mouth, the first box, is refined from, with the arguments of `forward`."""
        side = network_frame.shape[-1]
        enlarged = GeneratedPixels(*(resize(part, side, side) for part in generated))
        return _box_inputs("mouth", self._frame_inputs(network_frame, displacement, motion, source_motion), enlarged)

    def _frame_inputs(
        self, network_frame: Tensor, displacement: Tensor, motion: Tensor, source_motion: Tensor
    ) -> FrameInputs:
        side = network_frame.shape[-1]
        condition = self.motion(self.readings(torch.cat([motion, motion - source_motion], dim=1)))
        return FrameInputs(network_frame, resize(displacement, side, side), condition, self._regions(source_motion))

    def refine(self, name: str, inputs: BoxInputs) -> GeneratedPixels:
        """Refine the generated pixels of one box."""
        if name != "mouth":
            return self._changed(name, inputs)[0]
        pixels, found = self.mouth_without_teeth(inputs)
        warped, motion = inputs.pictures[:, :3], inputs.pictures[:, sum(COMMON) :]
        colour = teeth.drawn(pixels.colour, found, motion, warped, inputs.weight)
        return GeneratedPixels(colour, limited(pixels.occlusion, found.opening, motion, inputs.weight))

    def mouth_without_teeth(self, inputs: BoxInputs) -> tuple[GeneratedPixels, teeth.Teeth]:
        """Refine the generated pixels of the mouth's box; also return the teeth to draw."""
        pixels, others = self._changed("mouth", inputs)
        warped, weight = inputs.pictures[:, :3], inputs.weight
        colour = whitened(reddened(pixels.colour, warped, weight), warped, weight)
        return pixels._replace(colour=colour), teeth.Teeth.read(others)

    def _changed(self, name: str, inputs: BoxInputs) -> tuple[GeneratedPixels, Tensor]:
        """Change the generated pixels of one box; also return the other outputs of its network."""
        pictures, weight, condition = inputs
        _, colour, _, occlusion = pictures[:, : sum(COMMON)].split(COMMON, dim=1)
        change, others = self.boxes[name](pictures, condition).tensor_split((CHANGES,), dim=1)
        change = change * weight
        logit = occlusion.logit(MIN_OCCLUSION) + change[:, 3:]
        return GeneratedPixels(colour + change[:, :3], logit.sigmoid()), others


def _box_inputs(name: str, frame: FrameInputs, generated: GeneratedPixels) -> BoxInputs:
    """Compute the inputs of one box of frames with these generated pixels, at side S."""
    side = frame.network_frame.shape[-1]
    rows, columns = box = BOXES[name].slices(side)
    displacement, region = frame.displacement[..., rows, columns], frame.regions[name]
    warped = warp(frame.network_frame, displacement, box)
    colour, occlusion = (part[..., rows, columns] for part in generated)
    pictures = [warped, colour, frame.network_frame[..., rows, columns], occlusion]
    if name == "mouth":
        centre, half_axes = region
        width = half_axes[:, :1] / HALF_AXES[name][0]
        pictures.append(mouth_motion.mouth_motion(frame.displacement, box, centre, width))
    weight = _proximity(displacement, box, side, *region) * edge_weight(*warped.shape[-2:], warped.device)
    return BoxInputs(torch.cat(pictures, dim=1), weight, frame.condition)


def _proximity(displacement: Tensor, box: tuple[slice, slice], side: int, centre: Tensor, half_axes: Tensor) -> Tensor:
    """Compute weights (B, 1, h, w) of a box: 1 near a region of the source, falling to 0 away from it.

    Args:
        displacement: (B, 2, h, w), of the box.
        box: its rows and columns in a frame of the given side.
        side: in px.
        centre: (B, 2), of the region, in [-1, 1] of the source.
        half_axes: (B, 2), of the region.
    """
    shown = pixel_middles(side, side, displacement.device)[:, *box] + displacement
    off = (shown - centre[..., None, None]) / half_axes[..., None, None]
    return ((FAR - off.square().sum(1, keepdim=True).sqrt()) / (FAR - NEAR)).clamp(0, 1)


@lru_cache(KEPT)
def edge_weight(height: int, width: int, device: torch.device) -> Tensor:
    """Compute weights (height, width): 1, falling to 0 at the edges. They are kept, so they must not be written to."""

    def ramp(count: int) -> Tensor:
        middles = (torch.arange(count, device=device) + 0.5) / count
        return (torch.minimum(middles, 1 - middles) / EDGE_FADE).clamp(max=1)

    # Tensors of inference mode cannot be used in training.
    with torch.inference_mode(mode=False):
        return ramp(height)[:, None] * ramp(width)
