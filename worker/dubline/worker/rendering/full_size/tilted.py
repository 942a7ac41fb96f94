"""What the networks compute for a tilted square, resampled to the upright square around it.

Only the networks' own fields are resampled. The source's pixels are sampled once, at their moved positions, as for an
upright face.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch.nn import functional

from dubline.models.stage1.autoencoder import Fields
from dubline.models.stage1.frame_decoder import GeneratedPixels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from dubline.framing.tilted import TiltedSquare


class TiltedFields:
    """Turns fields back.

    Args:
        tilted: the square of the fields.
    """

    def __init__(self, tilted: TiltedSquare) -> None:
        self._tilted, self._around = tilted, tilted.around

    def __call__(self, fields: Fields) -> Fields:
        """Resample one batch; nothing moves and nothing is generated outside the tilted square."""
        share = self._around.side / self._tilted.square.side
        grid, (cos, sin) = self._grid(), self._direction()
        x, y = self._sample(fields.displacement, grid).unbind(1)
        displacement = torch.stack((cos * x - sin * y, sin * x + cos * y), 1) / share
        colour = self._sample(fields.generated.colour, grid, padding="border")
        return Fields(displacement, GeneratedPixels(colour, self._sample(fields.generated.occlusion, grid)))

    def _direction(self) -> tuple[float, float]:
        """Return cosine and sine of the tilt."""
        to_frame = self._tilted.to_frame
        return float(to_frame[0, 0]), float(to_frame[1, 0])

    def _grid(self) -> NDArray[np.float32]:
        """Return the map from the square around to the tilted square, both in [-1, 1]: (2, 3)."""
        around, inverse = self._around, cv2.invertAffineTransform(self._tilted.to_frame)
        half, inner = around.side / 2, self._tilted.square.side / 2
        matrix = np.column_stack(
            [inverse[:, :2] * half, inverse @ (around.left + half, around.top + half, 1)],
        )
        matrix /= inner
        matrix[:, 2] -= 1
        return matrix.astype(np.float32)

    def _sample(self, field: Tensor, grid: NDArray[np.float32], padding: str = "zeros") -> Tensor:
        side = round(field.shape[-1] * self._around.side / self._tilted.square.side)
        theta = torch.from_numpy(grid).to(field.device).expand(len(field), -1, -1)
        positions = functional.affine_grid(theta, [len(field), 1, side, side], align_corners=False)
        return functional.grid_sample(field.float(), positions, "bilinear", padding_mode=padding, align_corners=False)
