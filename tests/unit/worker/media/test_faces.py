from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dubline.framing import crop, face, points
from dubline.framing.face import FaceBox
from dubline.framing.faces import FoundFace, lean_deg
from dubline.framing.points import Reading
from dubline.framing.tilted import TiltedSquare
from dubline.orchestration.domain.errors import BadInputError
from dubline.orchestration.domain.faces import Face
from dubline.worker.media import faces, image
from dubline.worker.media.image import Portrait

PHOTOS = Path(os.environ.get("DUBLINE_TEST_PHOTOS", "-"))
CASES = Path(os.environ.get("DUBLINE_TEST_CASES", "-"))
GREY = (90, 110, 120)


@pytest.fixture
def person(astronaut: Image.Image) -> Image.Image:
    return astronaut.convert("RGB").crop((60, 0, 390, 330))


def judged(picture: Image.Image) -> list[Face]:
    return faces.judged(Portrait(picture, *picture.size))


def code(picture: Image.Image) -> str:
    with pytest.raises(BadInputError) as caught:
        judged(picture)
    assert caught.value.detail.endswith(".")
    return caught.value.code


def codes(found: Face) -> list[str]:
    return [one.code for one in found.warnings]


def covered(astronaut: Image.Image, box: tuple[int, int, int, int], colour: str) -> Image.Image:
    """Return the head with a rectangle over it; a small picture has few enlarged copies that are searched."""
    picture = astronaut.convert("RGB")
    ImageDraw.Draw(picture).rectangle(box, fill=colour)
    return picture.crop((100, 0, 340, 240))


def test_an_upright_face_has_the_detectors_box_and_no_warning(astronaut: Image.Image) -> None:
    (found,) = judged(astronaut)
    box = face.find(astronaut)
    assert box is not None
    left, top, right, bottom = (round(edge) for edge in (box.left, box.top, box.right, box.bottom))
    assert found == Face(box=(left, top, right, bottom))


def test_the_detector_is_created_before_the_first_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    created: list[bool] = []
    monkeypatch.setattr(face, "_detector", lambda: created.append(True))
    faces.load()
    assert created


def tilted(person: Image.Image, tilt_deg: int) -> Image.Image:
    # Pillow rotates anticlockwise.
    return person.rotate(-tilt_deg, Image.Resampling.BICUBIC, expand=True, fillcolor=GREY)


def check_tilt(picture: Image.Image, found: Face, tilt_deg: int) -> None:
    assert found.tilt_deg == pytest.approx(tilt_deg, abs=6)
    assert codes(found)[0] == "tilted"
    box = FaceBox(*found.box)
    pixels = TiltedSquare(crop.around(box), box.centre, found.tilt_deg).cut(np.asarray(picture))
    side = pixels.shape[0]
    seen = points.read(pixels, FaceBox(0.23 * side, 0.28 * side, 0.77 * side, 0.82 * side))
    assert abs(lean_deg(seen)) < 6


@pytest.mark.parametrize("tilt_deg", [-45, 25])
def test_a_tilted_face_is_found_and_its_square_is_upright(person: Image.Image, tilt_deg: int) -> None:
    picture = tilted(person, tilt_deg)
    (found,) = judged(picture)
    check_tilt(picture, found, tilt_deg)


def test_faces_that_lie_are_found_and_their_squares_are_upright(astronaut: Image.Image) -> None:
    # One search of rotated copies finds all three.
    head = astronaut.convert("RGB").crop((134, 20, 314, 200)).resize((115, 115))
    tilts = (-90, 90, 110)
    page = Image.new("RGB", (428, 150), GREY)
    for place, tilt_deg in enumerate(tilts):
        page.paste(tilted(head, tilt_deg), (120 * place, 0))
    found = sorted(judged(page), key=lambda face: face.box[0])
    assert len(found) == len(tilts)
    for one, tilt_deg in zip(found, tilts, strict=True):
        check_tilt(page, one, tilt_deg)


def test_a_face_upside_down_is_refused(person: Image.Image) -> None:
    assert code(person.rotate(180).resize((160, 160))) == "face_tilted"


def test_a_picture_without_the_mouth_has_no_face(astronaut: Image.Image) -> None:
    assert code(astronaut.convert("RGB").crop((100, 0, 350, 138))) == "no_face"


def test_a_mouth_at_the_edge_of_the_picture_is_refused(astronaut: Image.Image) -> None:
    assert code(astronaut.convert("RGB").crop((100, 0, 350, 148))) in {"face_occluded", "no_face"}


@pytest.mark.parametrize("colour", ["white", "sienna"])
def test_a_covered_mouth_is_refused(astronaut: Image.Image, colour: str) -> None:
    # The detector does not find every such face, and what it does not find is no face.
    assert code(covered(astronaut, (186, 131, 262, 182), colour)) in {"face_occluded", "no_face"}


def test_covered_eyes_are_refused(astronaut: Image.Image) -> None:
    assert code(covered(astronaut, (182, 84, 266, 128), "navy")) in {"face_occluded", "no_face"}


def test_one_covered_eye_is_a_warning(astronaut: Image.Image) -> None:
    (found,) = judged(covered(astronaut, (226, 88, 266, 118), "navy"))
    assert codes(found) == ["eyes_covered"]


def test_all_faces_are_listed_and_those_that_can_be_animated_come_first(astronaut: Image.Image) -> None:
    left = astronaut.convert("RGB").crop((100, 0, 340, 240))
    right = covered(astronaut, (196, 141, 250, 170), "white")
    page = Image.new("RGB", (700, 400), GREY)
    page.paste(left.resize((200, 200)), (10, 100))
    page.paste(right.resize((320, 320)), (300, 40))
    small, without_mouth = judged(page)
    assert small.box[2] < 210
    assert without_mouth.box[0] > 300
    assert small.error is None
    assert without_mouth.error is not None
    assert without_mouth.error.code == "face_occluded"


def reading(**changes: Any) -> FoundFace:
    """Make a face of 100 px whose nose is where it is in most faces."""
    at = np.array([[80.0, 80], [120, 80], [100 + changes.pop("aside", 0) * 45, 80 + changes.pop("below", 0.55) * 45]])
    five = np.concatenate([at, [[85, 125], [115, 125]]]).astype(np.float32)
    seen = Reading(five, changes.pop("eyes", (1.0, 1.0)), changes.pop("mouth", 1.0), 1.0)
    return FoundFace(FaceBox(50, 50, 150, 150), changes.pop("tilt_deg", 0.0), seen)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"aside": 0.7}, "face_profile"),
        ({"aside": -0.7}, "face_profile"),
        ({"below": 0.0}, "face_tilted"),
        ({"below": 1.1}, "face_tilted"),
        ({"tilt_deg": -130.0}, "face_tilted"),
        ({"mouth": 0.1}, "face_occluded"),
        ({"eyes": (0.1, 0.2)}, "face_occluded"),
    ],
)
def test_what_cannot_be_animated_has_a_code(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(BadInputError) as caught:
        faces.check(reading(**changes), (200, 200))
    assert caught.value.code == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"aside": 0.45}, ["looks_aside"]),
        ({"mouth": 0.5}, ["mouth_covered"]),
        ({"eyes": (0.9, 0.4)}, ["eyes_covered"]),
        ({"tilt_deg": 25.0}, ["tilted"]),
    ],
)
def test_what_makes_a_video_worse_is_a_warning(changes: dict[str, Any], expected: list[str]) -> None:
    faces.check(reading(**changes), (200, 200))
    assert [one.code for one in faces.warnings(reading(**changes))] == expected


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="DUBLINE_TEST_PHOTOS does not name a folder of photographs")
def test_every_photograph_is_accepted_without_a_warning() -> None:
    warned = {}
    for path in sorted(PHOTOS.glob("*.jpg")):
        with Image.open(path) as picture:
            warned[path.name] = codes(judged(picture.convert("RGB"))[0])
    assert len(warned) == 24
    assert {name: found for name, found in warned.items() if found} == {}


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="DUBLINE_TEST_PHOTOS does not name a folder of photographs")
def test_every_photograph_upside_down_is_refused() -> None:
    for path in sorted(PHOTOS.glob("*.jpg")):
        with Image.open(path) as picture:
            assert code(picture.convert("RGB").rotate(180)) == "face_tilted", path.name


@pytest.mark.skipif(not CASES.is_dir(), reason="DUBLINE_TEST_CASES does not name a folder of cases")
def test_cases_of_users_are_refused_or_accepted_as_they_should_be() -> None:
    def of(name: str) -> Image.Image:
        with (CASES / name).open("rb") as file:
            return image.load(file, 64_000_000).picture

    assert code(of("tight_chin_cut.jpg")) == "no_face"
    for name in ("grey_base.png", "dim30.png", "letterbox_bars.jpg", "pillar_bars.jpg"):
        assert judged(of(name))[0].error is None, name
