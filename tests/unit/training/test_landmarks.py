"""Measured landmarks of clips, and pictures as clips of one frame."""

from __future__ import annotations

import errno
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from tests.unit.training.test_corpus import SIDE_PX, write_clip

from dubline.training import landmarks
from dubline.training.cli_errors import UsageError
from dubline.training.corpus import read_clip
from dubline.training.evaluation.landmarks.client import FaceMeasurements


class Process:
    """Stands for the landmark process, which needs an environment of its own."""

    points: ClassVar[dict[str, Any]] = {}

    def __init__(self, folder: Path, _console: object) -> None:
        self.folder, self.submitted, self.failure = folder, list[Path](), ""

    def submit(self, video: Path, *, points: bool) -> None:
        assert points
        self.submitted.append(video)

    def finish(self, _report: object) -> dict[Path, FaceMeasurements]:
        none = np.empty(0)
        return {path: FaceMeasurements(none, none, none, none, None, self.points[path.stem]) for path in self.submitted}


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmarks, "LandmarkClient", Process)
    monkeypatch.setattr(Process, "points", {})


def test_landmarks_are_added_to_clips_that_have_none(tmp_path: Path) -> None:
    write_clip(tmp_path / "rendered.mp4", labelled=True)
    write_clip(tmp_path / "recorded.mp4", labelled=False)
    found = np.full((9, 68, 2), 0.5)
    # In one of 20 frames no face is found: it gets the landmarks of its neighbour.
    found = np.concatenate([found, found, found[:2]])
    found[0] = np.nan
    Process.points["recorded"] = found
    clips = [tmp_path / "recorded.mp4", tmp_path / "rendered.mp4"]
    assert landmarks.measure(clips, tmp_path / "measured") == 1
    clip = read_clip(clips[0], SIDE_PX)
    assert clip.landmarks is not None
    np.testing.assert_allclose(clip.landmarks, 0.5)
    assert clip.kind == "speech"


def test_tracks_stay_if_landmarks_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "recorded.mp4"
    write_clip(clip, labelled=False)
    Process.points["recorded"] = np.full((9, 68, 2), 0.5)

    def full_disk(file: Any, **_: object) -> None:
        with file.open("wb") if isinstance(file, Path) else nullcontext(file) as opened:
            opened.write(b"PK")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        landmarks.measure([clip], tmp_path / "measured")
    assert read_clip(clip, SIDE_PX).kind == "speech"


def test_clips_in_which_a_face_is_rarely_found_get_no_landmarks(tmp_path: Path) -> None:
    write_clip(tmp_path / "recorded.mp4", labelled=False)
    Process.points["recorded"] = np.full((9, 68, 2), np.nan)
    assert landmarks.measure([tmp_path / "recorded.mp4"], tmp_path) == 0
    assert read_clip(tmp_path / "recorded.mp4", SIDE_PX).landmarks is None


def test_a_failed_landmark_process_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "recorded.mp4", labelled=False)
    Process.points["recorded"] = None
    monkeypatch.setattr(Process, "finish", lambda self, _: vars(self).update(failure="no interpreter") or {})
    with pytest.raises(UsageError, match="no interpreter"):
        landmarks.measure([tmp_path / "recorded.mp4"], tmp_path)


def test_pictures_of_several_folders_with_one_name_become_clips_of_their_own(tmp_path: Path) -> None:
    skimage = pytest.importorskip("skimage.data")
    face, paths = skimage.astronaut(), [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"]
    for path, picture in zip(paths, (face, face // 2), strict=True):
        path.parent.mkdir()
        Image.fromarray(picture).save(path)
    bright, dark = (read_clip(clip, 64).frames.mean() for clip in landmarks.add_pictures(paths, tmp_path, 64))
    assert dark < 0.7 * bright


def test_a_picture_becomes_a_clip_of_one_frame(tmp_path: Path) -> None:
    skimage = pytest.importorskip("skimage.data")
    Image.fromarray(skimage.astronaut()).save(tmp_path / "face.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "blank.png")
    paths = [tmp_path / "blank.png", tmp_path / "face.png"]
    (clip,) = landmarks.add_pictures(paths, tmp_path / "clips", 64)
    with np.load(clip.with_suffix(".npz")) as tracks:
        assert json.loads(str(tracks["meta"])) == {"kind": "picture", "split": "train", "size": 64}
    assert read_clip(clip, 64).frames.shape == (1, 64, 64, 3)
