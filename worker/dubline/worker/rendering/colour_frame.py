"""The colours of a source: networks see them as in their training, and generated pixels are converted back to them.

Without it a black-and-white portrait gets a coloured mouth, and a dark one bright teeth. The lids of an engraving stay
open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import cv2
import numpy as np

from dubline.worker.rendering import local_contrast
from dubline.worker.rendering.full_size.planes import MATRIX

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Luma of black and chroma of grey.
BLACK: Final = np.array([16.0, 128.0, 128.0])
#: The face in a crop: rows and columns, as shares of its side (`crop.around`).
FACE: Final = ((0.27, 0.83), (0.22, 0.78))
#: Luma above black that the brightest percent of a face reaches in ordinary pictures: 140 to 217 in 24 photographs and
#: paintings, 116 to 205 in 24 of 26 clips of the corpus. A darker source is brightened for the networks.
EXPOSED: Final = 130.0
#: Percentiles of a face's luma between which all generated pixels are.
RANGE: Final = (0.3, 99.7)
#: Mean chroma of a face, blue and red difference: in 23 of these 24 pictures within these bounds. Beyond them the light
#: is coloured.
NATURAL: Final = ((-20.0, 2.0), (0.0, 24.0))
#: Chroma that luma does not explain, as the standard deviation along its largest axis: 0 of a grey or sepia source,
#: .7 with the noise of a codec, 5 or more in these pictures. Between the two generated colour is shown in part.
GREY: Final = 0.7
COLOURED: Final = 3.5
#: Pixels of the side of a face from which its colours are measured: of a larger one every second or third pixel.
MEASURED_PX: Final = 384
#: Rows that are normalised at a time, so that memory does not follow the crop's side.
BAND_ROWS: Final = 64
#: Shares of the skin's luma up to which generated pixels are no bluer than skin of their luma, and from which on they
#: can be: the inside of a mouth is below, lips and teeth are above.
SHADED: Final = (0.3, 0.6)


@dataclass(frozen=True, slots=True)
class ColourFrame:
    """The colours of one source, relative to ordinary pictures. Ordinary sources have the identity."""

    gain: float = 1.0
    """Light of the source over that of an ordinary picture, at most 1."""
    tint: tuple[float, float] = (0.0, 0.0)
    """Chroma of the light for each level of luma."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Chroma of the source's black, if its chroma follows luma."""
    slope: tuple[float, float] = (0.0, 0.0)
    """Chroma of the source for each level of luma, if its chroma follows luma."""
    freedom: float = 1.0
    """Share of generated chroma that is shown: 0 if the source's chroma follows luma alone, as in grey and sepia."""
    luma: tuple[float, float] = (0.0, 255.0)
    """Smallest and largest luma of a generated pixel."""
    skin: tuple[float, float] = (1.0, 0.0)
    """Luma above black and blue difference of the median pixel of the face, the latter at most 0."""
    contrast: float = 1.0
    """Share of its local contrast with which the networks see the source. What they generate has no more than that."""

    @classmethod
    def of(cls, crop: NDArray[np.uint8]) -> Self:
        """Measure the face in a crop, (side, side, 3) uint8 RGB."""
        rows, columns = (slice(*(round(share * len(crop)) for share in part)) for part in FACE)
        step = math.ceil((rows.stop - rows.start) / MEASURED_PX)
        whole = crop[rows, columns]
        face = whole[::step, ::step]
        planes = cv2.transform(face.astype(np.float32), MATRIX).reshape(-1, 3) - BLACK
        luma, chroma = planes[:, 0], planes[:, 1:]
        gain = float(np.clip(np.percentile(luma, 99) / EXPOSED, 0.05, 1))
        design = np.column_stack((np.ones_like(luma), luma))
        (offset, slope), *_ = np.linalg.lstsq(design, chroma, rcond=None)
        spread = np.cov((chroma - design @ (offset, slope)).T)
        free = np.sqrt(max(float(np.linalg.eigvalsh(spread)[-1]), 0.0)) / gain
        mean = chroma.mean(axis=0) / gain
        tint = np.round(mean - np.clip(mean, *np.transpose(NATURAL)), 3) / max(float(luma.mean()) / gain, 1.0)
        return cls(
            gain,
            _pair(tint),
            _pair(offset),
            _pair(slope),
            float(np.clip((free - GREY) / (COLOURED - GREY), 0, 1)),
            _pair(np.percentile(luma, RANGE) + BLACK[0]),
            (max(float(np.median(luma)), 1.0), min(float(np.median(chroma[:, 0])), 0.0)),
            local_contrast.reduction(whole, len(crop), gain),
        )

    def normalised(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the pixels that the networks see, (side, side, 3) uint8 RGB."""
        pixels = crop if self.gain == 1 and self.tint == (0, 0) else self._lit(crop)
        return pixels if self.contrast == 1 else local_contrast.reduced(pixels, self.contrast)

    def _lit(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a crop in the light of an ordinary picture."""
        to_planes = MATRIX[:, :3].astype(np.float64)
        light = np.eye(3)
        light[1:, 0] = np.negative(self.tint)
        matrix = np.linalg.inv(to_planes) @ light @ to_planes / self.gain
        pixels = np.empty_like(crop)
        for first in range(0, len(crop), BAND_ROWS):
            band = slice(first, first + BAND_ROWS)
            pixels[band] = np.clip(np.rint(cv2.transform(crop[band].astype(np.float32), matrix)), 0, 255)
        return pixels

    def to_source(self) -> NDArray[np.float64]:
        """Return the map of the networks' RGB, 0 to 255, to luma and chroma of the source: (3, 4), offset last."""
        light = np.diag([self.gain, self.freedom * self.gain, self.freedom * self.gain])
        follows = self.gain * (self.freedom * np.array(self.tint) + (1 - self.freedom) * np.array(self.slope))
        light[1:, 0] = follows
        offset = (1 - self.freedom) * np.array([0, *self.offset]) + BLACK
        return np.column_stack((light @ MATRIX[:, :3], offset))


def _pair(values: NDArray[np.floating]) -> tuple[float, float]:
    first, second = values
    return float(first), float(second)


ORDINARY: Final = ColourFrame()
