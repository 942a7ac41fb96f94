from __future__ import annotations

import json
from typing import Any

import pytest

from dubline.options.point import Point
from dubline.orchestration.domain.faces import DETAIL_MAX_CHARS, Face, Remark, face_at, faces_from_json
from dubline.orchestration.domain.uploads import UploadFacts

FACE = Face(
    box=(-3, 4, 50, 60), tilt_deg=25.5, warnings=(Remark("tilted", "It leans."),), error=Remark("face_profile", "No.")
)


def test_a_face_is_restored_from_json() -> None:
    assert faces_from_json(json.loads(json.dumps([FACE.as_json()]))) == (FACE,)


LARGE, SMALL = Face(box=(0, 0, 100, 100)), Face(box=(60, 60, 110, 110))


@pytest.mark.parametrize(
    ("point", "number"),
    [
        *(((0, 0), 0), ((99, 0), 0), ((100, 0), None), ((0, 100), None), ((109, 109), 1), ((110, 109), None)),
        # The centres are (50, 50) and (85, 85), so the boundary is at 67.5, between these two pixels.
        *(((62, 62), 0), ((67, 67), 0), ((68, 66), 0), ((68, 67), 1), ((80, 80), 1)),
    ],
)
def test_a_point_is_in_the_box_with_the_nearest_centre(point: tuple[int, int], number: int | None) -> None:
    assert face_at((LARGE, SMALL), Point(*point)) == number


def test_of_two_equal_boxes_the_first_is_at_a_point() -> None:
    assert face_at((LARGE, LARGE), Point(5, 5)) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"box": [1, 2, 3]},
        {"box": [9, 2, 3, 4]},
        {"box": [3, 2, 3, 4]},
        {"box": [1, 9, 3, 4]},
        {"box": [1, 4, 3, 4]},
        {"box": [0, 0, 1 << 40, 9]},
        {"box": None},
        {"tilt_deg": float("nan")},
        {"tilt_deg": "much"},
        {"warnings": 3},
        {"warnings": [{"code": "tilted"}]},
        {"error": "no"},
    ],
)
def test_a_face_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="face"):
        Face.from_json(FACE.as_json() | wrong)


def test_a_long_sentence_of_a_decoder_is_cut() -> None:
    long = FACE.as_json() | {"error": {"code": "x" * 500, "detail": "y" * 5000}}
    error = Face.from_json(long).error
    assert error is not None
    assert len(error.detail) == DETAIL_MAX_CHARS


def test_several_faces_are_a_warning_after_those_of_the_first() -> None:
    def warned(*faces: Face) -> list[str]:
        facts = UploadFacts(media_type="image/png", size_bytes=1, sha256="0" * 64, faces=faces)
        return [warning.code for warning in facts.warnings]

    assert (warned(), warned(LARGE), warned(FACE)) == ([], [], ["tilted"])
    assert (warned(FACE, LARGE), warned(LARGE, FACE)) == (["tilted", "several_faces"], ["several_faces"])
