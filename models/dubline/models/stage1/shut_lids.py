"""Shut lids: the networks draw them with a broad dark band, which is replaced by a lash line here.

Beside the line lids have the light of the skin around them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch.nn import functional

from dubline.models.stage1.mouth_eye_refiner import BOXES, edge_weight

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.stage1.frame_decoder import GeneratedPixels
    from dubline.models.stage1.mouth_eye_refiner import Box

#: Height in which lids have no skin of their own light: the band with its margins, as a share of the frame's side.
BAND: Final = 0.06
#: Width over which the darkness of a band is averaged along it, as a share of the side.
ALONG: Final = 0.02
#: Darkness that is hardly any.
FAINT: Final = 1e-3
#: Standard deviation of the lash line's profile, as a share of the side.
LINE: Final = 0.0038
#: Share of the skin's light that a lash line takes at least, if the band is darker than the skin by `BAND_DARK`.
LINE_DARK: Final = 0.55
BAND_DARK: Final = 0.15
#: Closure from which bands are replaced, and from which on wholly: half shut, an iris is seen.
REPLACED: Final = (0.5, 0.85)
#: Occlusion from which a pixel is of a lid, and from which on wholly. Brows are generated in part, and stay.
LID: Final = (0.75, 0.97)
#: The same for the line, which is not near the brows.
LINE_ON: Final = (0.5, 0.9)
#: Least occlusion of both eyes with shut lids. On 23 of 24 photographs and paintings it is .97 to 1; on the 24th, an
#: engraving, .22 in one eye before its contrast is reduced (decision 0060). Eyes that have less stay open.
SHUT: Final = 0.6
#: Side of the squares over which that occlusion is averaged, as a share of the frame's side.
EYE: Final = 0.035
#: Luma of red, green and blue (BT.601).
LUMA: Final = (0.299, 0.587, 0.114)


class OpenLids(NamedTuple):
    """Motion without its blinks."""

    motion: Tensor
    """(T, M), the given values where lids are open."""
    closure: Tensor
    """(T,), how far blinks close the lids: 0 to about 1."""


def with_lash_lines(generated: GeneratedPixels, closure: Tensor, box: Box = BOXES["eyes"]) -> GeneratedPixels:
    """Replace the dark bands of shut lids by lash lines.

    Args:
        generated: of T frames, at side S.
        closure: (T,), how far lids are closed by blinks.
        box: in which eyes are.

    Returns:
        The same with other colours where lids shut.
    """
    shares = _rise(closure, *REPLACED)
    shut = shares.nonzero()[:, 0]
    if not len(shut):
        return generated
    side = generated.colour.shape[-1]
    rows, columns = box.slices(side)
    colour, occlusion = (part[shut][..., rows, columns].float() for part in generated)
    skin = _closed(colour, _odd(BAND, side))
    dark = (_luma(skin) - _luma(colour)).clamp_min(0)
    shown = shares[shut, None, None, None] * edge_weight(colour.shape[-2], colour.shape[-1], colour.device)
    covered, drawn = (_rise(occlusion, *bounds) * shown for bounds in (LID, LINE_ON))
    eyes = zip(skin.chunk(2, dim=-1), colour.chunk(2, dim=-1), (dark * covered).chunk(2, dim=-1), strict=True)
    line = torch.cat([_lash_line(*eye, side) for eye in eyes], dim=-1)
    lids = colour + covered * (skin - colour)
    # Where some of the band is left, the line is not added to it.
    lids = torch.minimum(lids, lids + drawn * (skin - line - lids))
    result = generated.colour.clone()
    result[shut, :, rows, columns] = lids.to(result.dtype)
    return generated._replace(colour=result)


def _lash_line(skin: Tensor, colour: Tensor, dark: Tensor, side: int) -> Tensor:
    """Compute how much darker than skin the lash line of one eye is, along the middle of its dark band.

    Args:
        skin: (B, 3, h, w), without the band.
        colour: (B, 3, h, w), with the band.
        dark: (B, 1, h, w), how much darker the band is.
        side: of the frame.

    Returns:
        (B, 3, h, w).
    """
    rows = torch.arange(dark.shape[-2], device=dark.device, dtype=dark.dtype)[:, None]
    energy = dark.square()
    middles = (energy * rows).sum(-2) / energy.sum(-2).clamp_min(FAINT)
    along = _odd(ALONG, side)
    depth = functional.avg_pool1d(dark.amax(-2), along, 1, along // 2)
    curve = _parabola(middles, energy.sum(-2))
    # The band is darker where the iris was; the line is not.
    within = depth > depth.amax(-1, keepdim=True) / 3
    median = depth.masked_fill(~within, torch.nan).nanmedian(-1, keepdim=True).values
    strength = (depth / median.nan_to_num().clamp_min(FAINT)).clamp_max(1)
    profile: Tensor = torch.exp(-((rows - curve[..., None, :]) / (LINE * side)).square() / 2)
    mean = ((skin - colour) * energy).sum((-2, -1), keepdim=True) / energy.sum((-2, -1), keepdim=True).clamp_min(FAINT)
    # Of a pale band only a pale line would be left.
    least = LINE_DARK * (skin + 1) * (median.nan_to_num() / BAND_DARK).clamp_max(1)[..., None]
    return torch.maximum(mean, least) * strength[..., None, :] * profile


def _parabola(values: Tensor, weights: Tensor) -> Tensor:
    """Fit a parabola to values (B, 1, w) by least squares with weights (B, 1, w) and return its values (B, 1, w)."""
    x = torch.linspace(-1, 1, values.shape[-1], device=values.device, dtype=values.dtype)
    basis = torch.stack([torch.ones_like(x), x, x.square()])
    weighted = basis * weights
    # Sums of products: autocast would round matrix products to bf16.
    normal = (weighted[:, :, None] * basis).sum(-1) + FAINT * torch.eye(3, device=x.device)
    found = torch.linalg.solve(normal, (weighted * values).sum(-1))
    fitted: Tensor = (found[..., None] * basis).sum(1, keepdim=True)
    return fitted


def are_shut(occlusion: Tensor, box: Box = BOXES["eyes"]) -> bool:
    """Tell whether lids are generated over both eyes of one frame with shut lids, occlusion (1, 1, S, S)."""
    side = occlusion.shape[-1]
    rows, columns = box.slices(side)
    means = functional.avg_pool2d(occlusion[..., rows, columns].float(), _odd(EYE, side), 1)
    return all(float(half.max()) >= SHUT for half in means.chunk(2, dim=-1))


def _closed(colour: Tensor, height: int) -> Tensor:
    """Replace what is darker than what is around it within columns of `height` pixels: a closing in grey morphology."""
    padding = (height // 2, 0)
    lightest = functional.max_pool2d(colour, (height, 1), 1, padding)
    return -functional.max_pool2d(-lightest, (height, 1), 1, padding)


def _rise(values: Tensor, first: float, last: float) -> Tensor:
    """Rise from 0 at `first` to 1 at `last`."""
    return ((values - first) / (last - first)).clamp(0, 1)


def _luma(colour: Tensor) -> Tensor:
    red, green, blue = colour.split(1, dim=1)
    luma: Tensor = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return luma


def _odd(share: float, side: int) -> int:
    return 2 * round(share * side / 2) + 1
