"""Landmark process: measures mouth, eyes and identity on videos. `python face_reader.py RESPONSES < REQUESTS`.

A standalone script for an environment of its own, without imports of dubline: MediaPipe 0.10.21, the last release with
its models in the wheel, needs numpy < 2. A request is a line of JSON: `video`, `source` (a picture of the person, or
null), `every` (interval of frames for identity) and `points` (whether landmarks are wanted). A response is a line of
JSON: `video`; `opening`, `between` and `eyes` (T each; null where no face is found, `between` also where the lips are
not parted); `identity` (pairs of frame and cosine), `person` (the source's embedding) and `points` (T, 68, 2, in
[-1, 1]; null without a face; empty if not wanted).
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import av
import dlib
import mediapipe
import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: Points of MediaPipe's face mesh: middle of the inner upper and lower lip, top of the forehead, chin.
UPPER_LIP: Final = 13
LOWER_LIP: Final = 14
FOREHEAD: Final = 10
CHIN: Final = 152
#: Around the inside of the lips; around the face.
INNER_LIPS: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
FACE_OVAL: Final = (10, 297, 284, 389, 454, 361, 397, 379, 152, 150, 172, 132, 234, 162, 54, 67)
#: Points of the mesh in the order of Multi-PIE: jaw, brows, nose, eyes, outer and inner lips.
MULTI_PIE: Final = (
    *(127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
#: Of each eye: middle of the upper and of the lower lid, both corners.
EYES: Final = ((159, 145, 33, 133), (386, 374, 362, 263))
#: Least opening at which something can be seen between the lips.
PARTED: Final = 0.02
#: Brightness between the lips is that of the brighter parts: teeth, if they show.
BRIGHT_PERCENTILE: Final = 90
#: Frames are scaled to this side: the mesh was trained on larger faces than a 128 px frame contains.
SIDE_PX: Final = 384
#: The embedding network and the landmarks it was trained with. The 68-point file of the same package is not used.
LANDMARKS: Final = "shape_predictor_5_face_landmarks.dat"
EMBEDDING: Final = "dlib_face_recognition_resnet_model_v1.dat"


class FaceEmbedder:
    """Computes dlib's face embeddings."""

    def __init__(self) -> None:
        # Located without import: the package imports a removed part of setuptools.
        found = importlib.util.find_spec("face_recognition_models")
        if found is None or not found.submodule_search_locations:
            raise ImportError("face_recognition_models is not installed")
        folder = Path(found.submodule_search_locations[0]) / "models"
        self.detector = dlib.get_frontal_face_detector()
        self.landmarks = dlib.shape_predictor(str(folder / LANDMARKS))
        self.network = dlib.face_recognition_model_v1(str(folder / EMBEDDING))

    def embedding(self, picture: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """Return the unit vector (128,) of the largest face in a picture (H, W, 3); None without a face."""
        boxes = self.detector(picture, 0)
        if not boxes:
            return None
        box = max(boxes, key=lambda found: found.area())
        vector = np.array(self.network.compute_face_descriptor(picture, self.landmarks(picture, box)), np.float64)
        return np.asarray(vector / np.linalg.norm(vector))


def pictures(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield each frame of a video, or one picture: (SIDE_PX, SIDE_PX, 3)."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            picture = frame.reformat(SIDE_PX, SIDE_PX, "rgb24", interpolation="BICUBIC").to_ndarray()
            yield picture.astype(np.uint8, copy=False)


def landmarks(mesh: Any, picture: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Return the points of the face mesh (478, 2) in pixels; None if no face is found."""
    found = mesh.process(picture).multi_face_landmarks
    if not found:
        return None
    return np.array([(point.x, point.y) for point in found[0].landmark]) * picture.shape[1::-1]


def opening(points: NDArray[np.float64]) -> float:
    """Return the inner-lip gap over the face height."""
    height = np.linalg.norm(points[FOREHEAD] - points[CHIN])
    return round(float(np.linalg.norm(points[UPPER_LIP] - points[LOWER_LIP]) / height), 5)


def between_lips(points: NDArray[np.float64], picture: NDArray[np.uint8]) -> float | None:
    """Return the luma of the brighter parts between the lips over the face's median; None if they are not parted."""
    luma = np.asarray(Image.fromarray(picture).convert("L"), np.float64)
    inside, face = (luma[_inside(points[list(outline)], luma.shape)] for outline in (INNER_LIPS, FACE_OVAL))
    if opening(points) < PARTED or not len(inside) or not len(face):
        return None
    return round(float(np.percentile(inside, BRIGHT_PERCENTILE) / max(1.0, np.median(face))), 5)


def _inside(outline: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the pixels inside a polygon (N, 2)."""
    mask = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in outline], fill=1)
    return np.asarray(mask)


def eye_opening(points: NDArray[np.float64]) -> float:
    """Return the mean gap between the lids over the width of the eye."""
    ratios = [
        np.linalg.norm(points[up] - points[low]) / np.linalg.norm(points[a] - points[b]) for up, low, a, b in EYES
    ]
    return round(float(np.mean(ratios)), 5)


def read(points: NDArray[np.float64], picture: NDArray[np.uint8]) -> tuple[float, float | None, float]:
    """Measure one frame: opening of the mouth, brightness between the lips, opening of the eyes."""
    return opening(points), between_lips(points, picture), eye_opening(points)


def multi_pie(points: NDArray[np.float64], side: int) -> list[list[float]]:
    """Return 68 of the mesh's points in [-1, 1] of a picture of this side."""
    chosen: list[list[float]] = (points[list(MULTI_PIE)] * 2 / side - 1).round(5).tolist()
    return chosen


def measure(request: dict[str, Any], embedder: FaceEmbedder) -> dict[str, Any]:
    """Measure one video."""
    person = embedder.embedding(next(pictures(Path(request["source"])))) if request["source"] else None
    columns: dict[str, list[float | None]] = {"opening": [], "between": [], "eyes": []}
    identity, marks = list[Any](), list[Any]()
    with mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True, max_num_faces=1) as mesh:
        for number, picture in enumerate(pictures(Path(request["video"]))):
            points = landmarks(mesh, picture)
            seen = (None,) * 3 if points is None else read(points, picture)
            for column, value in zip(columns.values(), seen, strict=True):
                column.append(value)
            if request["points"]:
                marks.append(None if points is None else multi_pie(points, picture.shape[0]))
            if person is not None and number % request["every"] == 0:
                vector = embedder.embedding(picture)
                identity.append((number, None if vector is None else round(float(vector @ person), 5)))
    known = None if person is None else person.round(6).tolist()
    return {"video": request["video"], **columns, "identity": identity, "person": known, "points": marks}


def main(responses: Path) -> None:
    """Process each line of standard input."""
    embedder = FaceEmbedder()
    with responses.open("w") as file:
        for line in sys.stdin:
            file.write(json.dumps(measure(json.loads(line), embedder)) + "\n")
            file.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
