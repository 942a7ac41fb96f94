"""Paints mouth and eyes again at the networks' full side: people look there, and what opens and shuts is paint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dubline.models.layers import ConvBlock, Modulation, ResidualBlock, full_precision, resize, upsample, warp
from dubline.models.stage1.frame_decoder import GeneratedPixels

if TYPE_CHECKING:
    from dubline.models.presets import AutoencoderParams

#: Every box lies on this grid, so that it has whole pixels at every side that the networks can have.
GRID: Final = 32
#: Where framed faces have them, in half sides: middle of the mouth (x, y), its width, middle of the eyes (x, y).
FRAMED: Final = (0.0, 0.35, 0.33, 0.0, -0.14)
#: Half axes of what may be painted again around them, in widths of the mouth; and where a retouch begins and ends to
#: fade out there, in half axes.
AXES: Final = {"mouth": (0.85, 0.55), "eyes": (1.5, 0.5)}
NEAR: Final = 0.85
FAR: Final = 1.25
#: A reading of the mouth's width may fail, the width may not vanish.
NARROWEST: Final = 0.15
#: Over this share of a box a retouch fades out towards its edges.
FADE: Final = 0.125
#: Painting is never quite off or on: logits stay finite.
LEAST_OCCLUSION: Final = 1e-3


class Box(NamedTuple):
    """A part of the square frame, in GRIDths of its side."""

    left: int
    top: int
    width: int
    height: int

    def of(self, side: int) -> tuple[slice, slice]:
        """Rows and columns of a frame with this side, a multiple of GRID."""
        unit = side // GRID
        rows = slice(unit * self.top, unit * (self.top + self.height))
        return rows, slice(unit * self.left, unit * (self.left + self.width))


#: What is painted again at most: room for a turned head and for what a detector's box is off.
BOXES: Final = {"mouth": Box(left=8, top=13, width=16, height=16), "eyes": Box(left=6, top=8, width=20, height=10)}


class RegionRefiner(nn.Module):
    """One box of the paint: a small U-Net that hears the motion at every level, and changes nothing at first."""

    def __init__(self, widths: tuple[int, int, int], motion: int) -> None:
        super().__init__()
        fine, middle, coarse = widths
        # Warped, painted and unmoved picture and how much of it is paint, four pixels of each.
        self.input_block = ConvBlock(4 * (3 + 3 + 3 + 1), fine)
        self.down = ConvBlock(fine, middle, stride=2)
        self.middle_motion = Modulation(motion, middle)
        self.middle = ResidualBlock(middle)
        self.deep_down = ConvBlock(middle, coarse, stride=2)
        self.deep_motion = Modulation(motion, coarse)
        self.deep = nn.Sequential(ResidualBlock(coarse), nn.SiLU(), ResidualBlock(coarse), nn.SiLU())
        self.deep_up = nn.Conv2d(coarse, middle, 1)
        self.up = nn.Sequential(ConvBlock(middle, middle), nn.Conv2d(middle, fine, 1))
        self.fine_motion = Modulation(motion, fine)
        self.output = nn.Sequential(nn.SiLU(), ConvBlock(fine, fine), nn.Conv2d(fine, 16, 3, padding=1))
        for parameter in self.output[-1].parameters():
            nn.init.zeros_(parameter)

    @property
    def is_untrained(self) -> bool:
        """Whether it has not learnt anything yet."""
        return not any(parameter.any() for parameter in self.output[-1].parameters())

    def forward(self, pictures: Tensor, motion: Tensor) -> Tensor:
        """What to change.

        Args:
            pictures: (B, 10, h, w): warped, painted, unmoved, occlusion. Sides are multiples of 8.
            motion: (B, N).

        Returns:
            (B, 4, h, w): of the colour, and of the occlusion's logit.
        """
        fine = self.input_block(F.pixel_unshuffle(pictures, 2))
        middle = self.middle(self.middle_motion(self.down(fine), motion))
        deep = self.deep(self.deep_motion(self.deep_down(middle), motion))
        middle = middle + upsample(self.deep_up(deep))
        fine = self.fine_motion(fine + upsample(self.up(middle)), motion)
        return F.pixel_shuffle(self.output(fine), 2).float()


class MouthEyeRefiner(nn.Module):
    """Paint at the rendering's side -> the same at the networks' full side, painted again in every box.

    The warped picture moves what the source shows. What it does not show (the inside of a mouth that was shut, lids
    that come down) is paint, and the latents know more of it than the warp: so they are heard here once more.
    A crease under a chin can look like lips, so it must also be known where the source has its mouth and eyes; that is
    read off the source's latent.
    """

    def __init__(self, params: AutoencoderParams) -> None:
        super().__init__()
        if params.mouth_eye_widths is None:
            raise ValueError("these parameters have no mouth-eye refiner: give mouth_eye_widths")
        heard = params.mouth_eye_motion
        self.face_regions = nn.Linear(params.motion, len(FRAMED))
        nn.init.zeros_(self.face_regions.weight)
        self.face_regions.bias = nn.Parameter(torch.tensor(FRAMED))
        self.readings = nn.Linear(2 * params.motion, heard)
        self.motion = nn.Sequential(nn.Linear(heard, heard), nn.SiLU())
        self.boxes = nn.ModuleDict({name: RegionRefiner(params.mouth_eye_widths, heard) for name in BOXES})

    @property
    def is_untrained(self) -> bool:
        """Whether it has not learnt anything yet."""
        return all(retouch.is_untrained for retouch in self._retouches())

    def _retouches(self) -> list[RegionRefiner]:
        return [cast("RegionRefiner", self.boxes[name]) for name in BOXES]

    @torch.no_grad()
    def init_readings(self, head: Tensor) -> None:
        """Hear first of all what a linear head (G, M) has learnt to read off the motion, of which 2 G fit.

        Latents are anything but white: what lips and lids do is small in them, and found late from random weights.
        """
        count, motion = min(len(head), self.readings.out_features // 2), head.shape[1]
        # The last readings are those of lids and lips.
        head = head[-count:]
        self.readings.weight[: 2 * count] = 0
        self.readings.weight[:count, :motion] = head
        self.readings.weight[count : 2 * count, motion:] = head

    def _places(self, latent: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Middle and half axes (B, 2) of mouth and eyes, read off the source's latent (B, M)."""
        with full_precision(latent.device):
            read = self.face_regions(latent.float())
        width = read[:, 2:3].clamp_min(NARROWEST)
        middles = {"mouth": read[:, :2], "eyes": read[:, 3:]}
        return {name: (middles[name], width * width.new_tensor(AXES[name])) for name in BOXES}

    def forward(
        self, whole: Tensor, displacement: Tensor, generated: GeneratedPixels, motion: Tensor, origin: Tensor
    ) -> GeneratedPixels:
        """Retouch.

        Args:
            whole: (B, 3, S, S), the source at the networks' side, a multiple of 4 * GRID.
            displacement: (B, 2, h, w), the mixed deformation.
            generated: at any side.
            motion: (B, M), the latent.
            origin: (B, M), the source's latent.

        Returns:
            The paint at side S. What is painted again may leave [-1, 1] a little.
        """
        side = whole.shape[-1]
        displacement, colour, occlusion = (resize(part, side, side) for part in (displacement, *generated))
        heard = self.motion(self.readings(torch.cat([motion, motion - origin], dim=1)))
        places = self._places(origin)
        # Retouches are written into these.
        new_colour, new_occlusion = colour.clone(), occlusion.clone()
        for name, retouch in zip(BOXES, self._retouches(), strict=True):
            rows, columns = box = BOXES[name].of(side)
            warped = warp(whole, displacement[..., rows, columns], box)
            # Boxes overlap: the second goes on from the first.
            old_colour, old_occlusion = (part[..., rows, columns].clone() for part in (new_colour, new_occlusion))
            seen = torch.cat([warped, old_colour, whole[..., rows, columns], old_occlusion], dim=1)
            change = retouch(seen, heard) * _near(displacement[..., rows, columns], box, side, *places[name])
            change = change * _fade(seen.shape[-2], seen.shape[-1], seen.device)
            new_colour[..., rows, columns] = old_colour + change[:, :3]
            logit = old_occlusion.logit(LEAST_OCCLUSION) + change[:, 3:]
            new_occlusion[..., rows, columns] = logit.sigmoid()
        return GeneratedPixels(new_colour, new_occlusion)


def _near(displacement: Tensor, box: tuple[slice, slice], side: int, middle: Tensor, axes: Tensor) -> Tensor:
    """1 where a box shows what is near a place of the source, 0 far from it: (B, 1, h, w).

    Args:
        displacement: (B, 2, h, w), of the box.
        box: its rows and columns in a frame of this
        side: in px.
        middle: (B, 2), in [-1, 1] of the source.
        axes: (B, 2), half axes of what is near.
    """
    ys, xs = (torch.arange(part.start, part.stop, device=displacement.device) for part in box)
    grid = (torch.stack(torch.meshgrid(xs, ys, indexing="xy")) * 2 + 1) / side - 1
    off = (grid + displacement - middle[..., None, None]) / axes[..., None, None]
    return ((FAR - off.square().sum(1, keepdim=True).sqrt()) / (FAR - NEAR)).clamp(0, 1)


def _fade(height: int, width: int, device: torch.device) -> Tensor:
    """(height, width): 1, falling to 0 at the edges."""

    def ramp(count: int) -> Tensor:
        middles = (torch.arange(count, device=device) + 0.5) / count
        return (torch.minimum(middles, 1 - middles) / FADE).clamp(max=1)

    return ramp(height)[:, None] * ramp(width)
