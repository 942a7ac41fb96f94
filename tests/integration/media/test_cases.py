"""Files of real programs, in the folder that `DUBLINE_TEST_CASES` names; its README says what is right for each."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.unit.worker import media_files as media

from dubline.orchestration.domain.errors import BadInputError
from dubline.orchestration.domain.uploads import UploadFacts, UploadKind
from dubline.orchestration.settings import LimitSettings
from dubline.worker.media import image, probe

CASES = Path(os.environ.get("DUBLINE_TEST_CASES", "-"))
#: What each file is; or its code, and a word of its sentence.
PORTRAITS = {
    "png_itxt_1500k.png": "image/png",
    "jpeg_no_eoi.jpg": "image/jpeg",
    "jpeg_named.png": "image/jpeg",
    "webp_saved_as.jpg": "image/webp",
    "phone_50mp_6144x8160.jpg": "image/jpeg",
    "icc_adobe_green.jpg": "image/jpeg",
    "icc_wide_prophoto.jpg": "image/jpeg",
    "animated_fade_in.webp": "image/webp",
    "heic_renamed.jpg": "not_an_image HEIC",
}
#: The pictures that files with a profile show.
TRUE_COLOURS = {"icc_adobe_green.jpg": "adobe_green_true.png", "icc_wide_prophoto.jpg": "jpeg_named.png"}

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="DUBLINE_TEST_CASES does not name a folder of cases")


def probed(name: str, kind: UploadKind, expected: str) -> UploadFacts | None:
    """Probe a file in its process and compare its type or its error with what is expected."""
    code, _, word = expected.partition(" ")
    if not word:
        facts = probe.probe(CASES / name, kind, LimitSettings())
        assert facts.media_type == code
        return facts
    with pytest.raises(BadInputError, match=word) as caught:
        probe.probe(CASES / name, kind, LimitSettings())
    assert caught.value.code == code
    return None


@pytest.mark.parametrize("name", PORTRAITS)
def test_a_portrait_of_a_user(name: str) -> None:
    facts = probed(name, UploadKind.PORTRAIT, PORTRAITS[name])
    assert facts is None or facts.face_box is not None


@pytest.mark.parametrize("name", TRUE_COLOURS)
def test_the_colours_of_a_portrait_of_a_user_are_right(name: str) -> None:
    shown = np.asarray(image.load(media.opened(CASES / name), 10**6).picture).astype(int)
    with Image.open(CASES / TRUE_COLOURS[name]) as true:
        assert np.abs(shown - np.asarray(true.convert("RGB"))).mean() <= 2.5
