"""Shut lids: the networks draw them with a broad dark band, of which only a lash line is left here.

Between the line and the brow lids have the light of the skin around them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from torch.nn import functional

from dubline.models.stage1.mouth_eye_refiner import BOXES, edge_weight

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.stage1.frame_decoder import GeneratedPixels
    from dubline.models.stage1.mouth_eye_refiner import Box

#: Height in which lids have no skin of their own light: the band with its margins, as a share of the frame's side.
BAND: Final = 0.06
#: Width and height in which the darkest pixel of a band is looked for, as shares of the side.
NEIGHBOURHOOD: Final = (0.08, 0.12)
#: Closure from which bands are narrowed, and from which on wholly: half shut, an iris is seen.
NARROWED: Final = (0.5, 0.85)
#: Occlusion from which a pixel is of a lid, and from which on wholly. Brows are generated in part, and stay.
LID: Final = (0.9, 0.99)
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


def narrowed(generated: GeneratedPixels, closure: Tensor, box: Box = BOXES["eyes"]) -> GeneratedPixels:
    """Narrow the dark bands of shut lids to lines.

    Args:
        generated: of T frames, at side S.
        closure: (T,), how far lids are closed by blinks.
        box: in which eyes are.

    Returns:
        The same with other colours where lids shut; no pixel is darker than before.
    """
    first, last = NARROWED
    shares = ((closure - first) / (last - first)).clamp(0, 1)
    shut = shares.nonzero()[:, 0]
    if not len(shut):
        return generated
    side = generated.colour.shape[-1]
    rows, columns = box.slices(side)
    colour, occlusion = (part[shut][..., rows, columns].float() for part in generated)
    skin = _closed(colour, _odd(BAND, side))
    dark = (_luma(skin) - _luma(colour)).clamp_min(0)
    width, height = (_odd(share, side) for share in NEIGHBOURHOOD)
    # Rows first, then columns: the same maximum as of the whole neighbourhood.
    depth = functional.max_pool2d(dark, (height, 1), 1, (height // 2, 0))
    depth = functional.max_pool2d(depth, (1, width), 1, (0, width // 2))
    # The darkest pixels of a band stay; the others get lighter, the more the less dark they are.
    kept = dark / depth.clamp_min(1e-3)
    kept = kept * kept.sqrt()
    first, last = LID
    weight = ((occlusion - first) / (last - first)).clamp(0, 1) * shares[shut, None, None, None]
    weight = weight * edge_weight(colour.shape[-2], colour.shape[-1], colour.device)
    lighter = skin + kept * (colour - skin)
    result = generated.colour.clone()
    result[shut, :, rows, columns] = (colour + weight * (lighter - colour)).to(result.dtype)
    return generated._replace(colour=result)


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


def _luma(colour: Tensor) -> Tensor:
    red, green, blue = colour.split(1, dim=1)
    luma: Tensor = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return luma


def _odd(share: float, side: int) -> int:
    return 2 * round(share * side / 2) + 1
