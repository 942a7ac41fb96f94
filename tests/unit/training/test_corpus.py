"""Reading of clips: thinned or whole, with or without labels, and corrupt files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from dubline.training.corpus import read_corpus, stream_corpus

if TYPE_CHECKING:
    from pathlib import Path

SIDE_PX, FRAMES = 32, 9


def write_clip(path: Path, *, labelled: bool, heldout: bool = False, sound: bool = True) -> None:
    """Write a clip whose frame t has brightness 20 t and labels t."""
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", 25, options={"crf": "5"})
        video.width, video.height, video.pix_fmt = SIDE_PX, SIDE_PX, "yuv420p"
        audio = container.add_stream("aac", 16_000, layout="mono") if sound else None
        for t in range(FRAMES):
            grey = np.full((SIDE_PX, SIDE_PX, 3), 20 * t, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        container.mux(video.encode())
        if audio is not None:
            tone = np.sin(np.arange(FRAMES * 640) / 10).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
            container.mux([*audio.encode(frame), *audio.encode()])
    time = np.arange(FRAMES, dtype=np.float32)
    tracks: dict[str, Any] = dict.fromkeys(("expression", "rotation", "translation", "gaze"), time[:, None])
    tracks |= dict.fromkeys(("blink", "lip_shut", "aperture_mm"), time)
    tracks["landmarks"] = np.tile(time[:, None, None], (1, 68, 2))
    meta = {"kind": "speech", "split": "heldout" if heldout else "train", "size": SIDE_PX}
    np.savez(path.with_suffix(".npz"), meta=json.dumps(meta), **(tracks if labelled else {}))


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    write_clip(tmp_path / "rendered" / "b.mp4", labelled=True)
    write_clip(tmp_path / "rendered" / "a.mp4", labelled=True, heldout=True)
    write_clip(tmp_path / "footage" / "c.mp4", labelled=False, sound=False)
    return [tmp_path / "rendered", tmp_path / "footage"]


def test_thinning_keeps_frames_with_their_labels_and_all_speech(folders: list[Path]) -> None:
    whole = read_corpus(folders[0], SIDE_PX, heldout=False)[0]
    thin = read_corpus(folders[0], SIDE_PX, heldout=False, every=2)[0]
    assert len(whole.frames) == FRAMES
    assert thin.geometry is not None
    assert thin.landmarks is not None
    assert thin.aperture_mm is not None
    assert thin.aperture_mm.tolist() == [0, 2, 4, 6, 8]
    assert (thin.frames.mean((1, 2, 3)) / 20).round().tolist() == [0, 2, 4, 6, 8]
    assert len(thin.landmarks) == len(thin.geometry) == 5
    np.testing.assert_array_equal(thin.speech, whole.speech)
    assert len(whole.speech) / 16_000 == pytest.approx(FRAMES / 25, abs=0.1)


def test_the_person_of_footage_is_read(folders: list[Path]) -> None:
    assert read_corpus(folders[1], SIDE_PX, heldout=False)[0].person == ""
    meta = {"kind": "speech", "split": "train", "person": "Mary Ann"}
    np.savez(folders[1] / "c.npz", meta=json.dumps(meta))
    assert read_corpus(folders[1], SIDE_PX, heldout=False)[0].person == "Mary Ann"


def test_measured_landmarks_are_read_without_parameters(folders: list[Path]) -> None:
    path = folders[1] / "c.npz"
    with np.load(path) as tracks:
        meta = tracks["meta"]
    landmarks = np.full((FRAMES, 68, 2), SIDE_PX / 4, np.float32)
    np.savez(path, meta=meta, landmarks=landmarks)
    (clip,) = read_corpus(folders[1], SIDE_PX, heldout=False)
    assert clip.landmarks is not None
    assert (clip.landmarks == -0.5).all()
    assert not clip.labelled


def test_folders_are_read_in_order(folders: list[Path]) -> None:
    clips = read_corpus(folders, SIDE_PX, heldout=False)
    assert [(clip.name, clip.labelled) for clip in clips] == [("b", True), ("c", False)]
    assert clips[1].landmarks is None
    assert clips[1].aperture_mm is None
    assert len(clips[1].speech) == 0
    assert [clip.name for clip in read_corpus(folders, SIDE_PX, heldout=True)] == ["a"]


def test_streaming_yields_the_same_clips_as_reading(folders: list[Path]) -> None:
    stream = stream_corpus(folders, SIDE_PX, heldout=False)
    assert isinstance(stream, Iterator)
    for streamed, read in zip(stream, read_corpus(folders, SIDE_PX, heldout=False), strict=True):
        np.testing.assert_array_equal(streamed.frames, read.frames)
        np.testing.assert_array_equal(streamed.speech, read.speech)


def test_a_corrupt_clip_is_left_out_with_a_message(folders: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    (folders[0] / "d.mp4").write_bytes(b"no video")
    (folders[0] / "d.npz").write_bytes((folders[0] / "b.npz").read_bytes())
    write_clip(folders[0] / "e.mp4", labelled=True)
    (folders[0] / "e.npz").write_bytes(b"PK\x03\x04 cut short")
    assert [clip.name for clip in read_corpus(folders, SIDE_PX, heldout=False)] == ["b", "c"]
    output = capsys.readouterr().err
    assert "d.mp4" in output
    assert "e.mp4" in output


def test_a_folder_without_the_split_is_named_in_the_error(folders: list[Path]) -> None:
    with pytest.raises(FileNotFoundError, match=r"no held-out clips .* in .*footage"):
        read_corpus(folders[1], SIDE_PX, heldout=True)
