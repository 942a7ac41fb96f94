from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from PIL import Image

from dubline.framing import face


def on_canvas(picture: Image.Image, canvas: tuple[int, int], place: tuple[int, int]) -> Image.Image:
    page = Image.new("RGB", canvas, (90, 110, 120))
    page.paste(picture, place)
    return page


def test_a_face_is_found_at_its_position(astronaut: Image.Image) -> None:
    box = face.find(astronaut)
    assert box.centre == pytest.approx((224, 120), abs=12)
    assert 80 < box.side < 115


def test_a_small_face_in_a_large_picture_is_found(astronaut: Image.Image) -> None:
    small = astronaut.resize((200, 200), Image.Resampling.LANCZOS)  # a face of 37 px
    box = face.find(on_canvas(small, (1000, 800), (700, 500)))
    assert box.centre == pytest.approx((700 + 224 * 0.39, 500 + 120 * 0.39), abs=8)


def test_a_small_picture_is_enlarged_before_detection(astronaut: Image.Image) -> None:
    box = face.find(astronaut.crop((140, 40, 310, 210)).resize((80, 80), Image.Resampling.LANCZOS))
    assert box.centre == pytest.approx((39, 38), abs=5)


def test_the_largest_face_is_chosen(astronaut: Image.Image) -> None:
    crop = astronaut.crop((100, 0, 340, 240))
    page = on_canvas(crop.resize((160, 160)), (800, 500), (30, 30))
    page.paste(crop.resize((400, 400)), (380, 60))
    assert face.find(page).centre[0] > 400


def test_of_equal_faces_the_central_one_is_chosen(astronaut: Image.Image) -> None:
    crop = astronaut.crop((100, 0, 340, 240))
    page = on_canvas(crop, (900, 400), (5, 100))
    page.paste(crop, (330, 100))
    assert 330 < face.find(page).centre[0] < 570


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_a_picture_without_a_person_has_no_face(name: str) -> None:
    assert face.find(Image.fromarray(getattr(skimage.data, name)())) is None


def test_noise_has_no_face(noise: np.random.Generator) -> None:
    assert face.find(Image.fromarray(noise.integers(0, 256, (200, 200, 3), dtype=np.uint8))) is None


def test_a_face_at_the_edge_counts_half_as_one_in_the_middle() -> None:
    middle, corner = (face.FaceBox(x - 50, x - 50, x + 50, x + 50) for x in (500, 1000))
    assert face.prominence(middle, (1000, 1000)) == pytest.approx(2 * face.prominence(corner, (1000, 1000)))


def test_a_picture_is_searched_once_at_each_scale() -> None:
    assert list(face.search_scales((100, 80))) == [4.0]
    assert list(face.search_scales((320, 640))) == [1.0, 2.0, 4.0]
    assert list(face.search_scales((5120, 2000))) == [0.125, 0.25, 0.5]


def test_a_face_that_is_not_detected_again_keeps_its_box(astronaut: Image.Image) -> None:
    found = face.find(astronaut)
    beside = found.shifted(0.4 * found.side, 0)
    for picture in (Image.new("RGB", astronaut.size), astronaut):
        assert face.refine(picture, beside) == beside
