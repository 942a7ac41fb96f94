"""A point of a portrait, by which a sender chooses a face without knowing its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Largest coordinate, px: more than a picture can have.
POINT_MOST_PX: Final = (1 << 20) - 1
DESCRIPTION: Final = (
    "Instead of `face_index`: a point of the portrait. The face speaks whose box in the upload's `facts.faces` "
    "contains it; of several boxes the one whose centre is nearest. The job shows its number as `face_index`."
)
X_DESCRIPTION: Final = "Whole pixels from the left edge of the picture, after EXIF rotation."
Y_DESCRIPTION: Final = "Whole pixels from its top edge."


@dataclass(frozen=True, slots=True)
class Point:
    """A pixel of a picture after EXIF rotation, in the unit of face boxes."""

    x: int
    """From the left edge, px."""
    y: int
    """From the top edge, px."""
