from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.media import hostile_files
from tests.unit.worker import media_files as media

from dubline.orchestration.domain.errors import BadInputError
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.settings import LimitSettings
from dubline.worker.media import examine, probe
from dubline.worker.media.examination import Examination

if TYPE_CHECKING:
    from PIL import Image

CASES = Path(os.environ.get("DUBLINE_TEST_CASES", "-"))
LIMITS = LimitSettings().model_copy(update={"speech_s": 60.0})
#: Files of real programs: what they are, or the code and a word of its sentence.
REAL = {
    "m4a_renamed.mp3": "audio/mp4",
    "mp3_renamed.wav": "audio/mpeg",
    "adts_named.m4a": "audio/aac",
    "junk_before_mp3.mp3": "audio/mpeg",
    "wav_hdr_1000000000.wav": "audio/wav",
    "wav_hdr_2000000000.wav": "audio/wav",
    "out_of_phase.wav": "audio/wav",
    "music_speech_music.wav": "audio/wav",
    "mediarecorder.webm": "audio/webm",
    "quiet40.wav": "audio/wav",
    "tts_concat.wav": "not_audio several",
}
#: Files that are checked by a process of their own too; the others are examined in this one, which is faster.
IN_A_PROCESS = frozenset(
    {"huge png", "PNG with a text bomb", "zip as speech", "JPEG of a face", "channels that cancel"}
)


def result(path: Path, kind: str) -> str:
    """Return the code that a file gets; empty if it is accepted."""
    try:
        probe.probe(path, UploadKind(kind), LIMITS)
    except BadInputError as error:
        return error.code
    return ""


def test_each_hostile_file_gets_its_code_and_hurts_no_neighbour(
    tmp_path: Path, astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = list(hostile_files.corpus(tmp_path, astronaut))
    assert len({upload.name for upload in uploads}) >= 80
    path, wrong = tmp_path / "upload", []
    for upload in uploads:
        path.write_bytes(upload.data)
        with monkeypatch.context() as patch:
            if upload.name not in IN_A_PROCESS:
                patch.setattr(
                    probe, "_examine", lambda question, file, _: examine.examine(question, media.opened(file))
                )
            found = result(path, upload.kind)
        if found != upload.code:
            wrong.append(f"{upload.name}: {found or 'accepted'} instead of {upload.code or 'accepted'}")
    assert wrong == []


@pytest.mark.skipif(not CASES.is_dir(), reason="DUBLINE_TEST_CASES does not name a folder of cases")
@pytest.mark.parametrize("name", REAL)
def test_a_recording_of_a_real_program(name: str) -> None:
    code, _, word = REAL[name].partition(" ")
    question = Examination("speech", 64_000_000, 0.2, 3600.0)
    file = media.opened(CASES / name)
    if not word:
        assert examine.examine(question, file)["media_type"] == code
        return
    with pytest.raises(BadInputError, match=word) as caught:
        examine.examine(question, file)
    assert caught.value.code == code
