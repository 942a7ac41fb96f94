"""Clips extracted from videos: framing, synchronisation, selection rules and broken files."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from dubline.framing.face import FaceBox
from dubline.training.corpus import read_corpus
from dubline.training.footage import clips as footage
from dubline.training.footage import video
from dubline.training.footage.__main__ import main
from dubline.training.footage.clip_selection import ClipSelector, SelectionRules, select_clips
from dubline.training.footage.clips import Outcome, extract_clips, find_videos
from dubline.training.footage.face_track import FaceTrack, around

if TYPE_CHECKING:
    from numpy.typing import NDArray

RULES = SelectionRules(size_px=64, shortest_s=1.0, longest_s=3.0, smallest_face_px=70)
WIDTH, HEIGHT = 420, 280
EMPTY = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


def scene(offset_px: float, mirrored: bool = False) -> NDArray[np.uint8]:
    """Return a frame with the astronaut's face, about 100 px wide, at an offset."""
    image = Image.fromarray(astronaut()[:HEIGHT, 84 : 84 + HEIGHT])
    picture = EMPTY.copy() + (60 if mirrored else 0)
    left = round(70 + offset_px)
    pixels = np.asarray(image)
    picture[:, left : left + HEIGHT] = pixels[:, ::-1] if mirrored else pixels
    return picture.astype(np.uint8)


def write_video(path: Path, pictures: list[NDArray[np.uint8]], fps: int = 25, sound: bool = True) -> Path:
    """Write a video with a tone that begins after one second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", fps, options={"preset": "ultrafast", "crf": "18"})
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt, video.time_base = "yuv420p", Fraction(1, fps)
        audio = container.add_stream("aac", 44_100, layout="stereo") if sound else None
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(video.encode())
        if audio is not None:
            time_s = np.arange(len(pictures) * 44_100 // fps) / 44_100
            tone = (0.3 * np.sin(2 * np.pi * 300 * time_s) * (time_s > 1)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), "fltp", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
            container.mux([*audio.encode(frame), *audio.encode()])
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    nods = [scene(8 * np.sin(t / 6)) for t in range(60)]
    write_video(folder / "anna" / "talk one!.mov", nods, fps=30)
    write_video(folder / "anna" / "mute.mp4", nods[:40], sound=False)
    write_video(folder / "ben" / "empty.mkv", [EMPTY] * 30)
    (folder / "ben" / "broken.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42 not a video")
    (folder / "ben" / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")
    whole = (folder / "anna" / "talk one!.mov").read_bytes()
    (folder / "carl.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def outcomes(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Outcome]]:
    out = tmp_path_factory.mktemp("clips")
    sources = find_videos(videos, heldout_share=0.0)
    return out, {video.name: extract_clips(video, out, RULES) for video in sources}


def test_a_video_becomes_a_clip_that_the_corpus_reader_accepts(outcomes: tuple[Path, dict[str, Outcome]]) -> None:
    out, outcome = outcomes
    assert outcome["anna/talk one!.mov"].lengths_s == [pytest.approx(2, abs=0.2)]
    (clip,) = read_corpus(out, 64, heldout=False)
    assert clip.name.startswith("anna-talk-one-")
    assert (clip.kind, clip.labelled) == ("speech", False)
    assert clip.frames.shape[1:] == (64, 64, 3)
    # 60 frames at 30 fps are 50 at 25 fps; the last detection can be four frames before the end.
    assert 46 <= len(clip.frames) <= 50
    assert len(clip.speech) == pytest.approx(len(clip.frames) * 640, abs=1100)


def test_sound_and_frames_stay_synchronised(outcomes: tuple[Path, dict[str, Outcome]]) -> None:
    (clip,) = read_corpus(outcomes[0], 64, heldout=False)
    onset_s = int((np.abs(clip.speech) > 0.05).argmax()) / 16_000
    assert onset_s == pytest.approx(1, abs=0.02)


def test_every_refusal_is_counted_under_its_reason(outcomes: tuple[Path, dict[str, Outcome]]) -> None:
    reasons = {name: list(outcome.refused) for name, outcome in outcomes[1].items() if not outcome.lengths_s}
    assert reasons["anna/mute.mp4"] == ["no sound"]
    assert reasons["ben/empty.mkv"] == ["no face"]
    for broken in ("ben/broken.mp4", "ben/list.mp4", "carl.mp4"):
        assert reasons[broken][0].startswith("unreadable")
    summary = footage.summarise(
        [(footage.SourceVideo(Path(name), name, name, False), outcome) for name, outcome in outcomes[1].items()]
    )
    assert "training: 1 clips" in summary
    assert "refused: no face: 1 videos" in summary


def test_the_square_is_framed_as_a_portrait_is_framed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [scene(12 * np.sin(t / 5)) for t in range(40)])
    (span,) = select_clips(path, RULES, defaultdict(float)).spans
    from dubline.framing import crop, face  # noqa: PLC0415 - only to compare with

    wanted = crop.around(face.find(Image.fromarray(scene(0))))
    assert span.square.side == pytest.approx(wanted.side, rel=0.12)
    assert span.square.left == pytest.approx(wanted.left, abs=16)
    assert span.square.top == pytest.approx(wanted.top, abs=12)


def test_a_clip_contains_one_scene_only(tmp_path: Path) -> None:
    pictures = [scene(0)] * 33 + [scene(20, mirrored=True)] * 32
    selection = select_clips(write_video(tmp_path / "a.mp4", pictures), RULES, defaultdict(float))
    assert len(selection.spans) == 2
    assert selection.spans[0].last <= 32
    assert selection.spans[1].first == 33


def boxes(xs: list[float], side: float = 100) -> FaceTrack:
    return FaceTrack([(5 * i, FaceBox(x, 150, x + side, 150 + side)) for i, x in enumerate(xs)])


@pytest.mark.parametrize(
    ("track", "reason"),
    [
        (boxes([200] * 3), "too short"),
        (boxes([200] * 8, side=60), "face too small"),
        (boxes([0] * 8), "face at the edge"),
        (boxes([float(x) for x in range(100, 420, 40)]), "head leaves the square"),
        (FaceTrack(boxes([200] * 8).detections, other_faces=8), "several faces"),
    ],
)
def test_a_track_that_gives_no_clip_is_counted_under_its_reason(track: FaceTrack, reason: str) -> None:
    refused: defaultdict[str, float] = defaultdict(float)
    assert ClipSelector(RULES, (640, 480), refused).select(track) == []
    assert list(refused) == [reason]


def test_long_tracks_are_divided_evenly_without_gaps() -> None:
    spans = ClipSelector(RULES, (640, 480), defaultdict(float)).select(boxes([200] * 41))
    assert [span.last - span.first + 1 for span in spans] == [67, 67, 67]
    assert [span.first for span in spans[1:]] == [span.last + 1 for span in spans[:-1]]


def test_a_head_that_leaves_the_square_starts_a_new_square() -> None:
    spans = ClipSelector(RULES, (640, 480), defaultdict(float)).select(boxes([100 + 12 * i for i in range(14)]))
    assert len(spans) > 1
    assert spans[0].square.left < spans[1].square.left


def test_a_square_has_the_mean_size_and_the_median_position() -> None:
    square = around([FaceBox(0, 0, 90, 90), FaceBox(0, 0, 110, 110), FaceBox(0, 0, 100, 100)])
    assert square.side == round(100 / 0.53)


def test_whole_persons_are_held_out_and_new_videos_change_no_split(tmp_path: Path) -> None:
    for person in range(30):
        for talk in range(2):
            (tmp_path / f"p{person}").mkdir(exist_ok=True)
            (tmp_path / f"p{person}" / f"{talk}.mp4").touch()
    split = {video.person: video.heldout for video in find_videos(tmp_path, 0.2)}
    assert 2 <= sum(split.values()) <= 12
    assert len({(video.person, video.heldout) for video in find_videos(tmp_path, 0.2)}) == 30
    (tmp_path / "new.mp4").touch()
    assert {video.person: video.heldout for video in find_videos(tmp_path, 0.2)}.items() >= split.items()
    assert not any(video.heldout for video in find_videos(tmp_path, 0))
    person = next(iter(split))
    assert {video.person for video in find_videos(tmp_path, 0.2, [person]) if video.heldout} == {person}
    with pytest.raises(ValueError, match="no video of nobody"):
        find_videos(tmp_path, 0.2, ["nobody"])


def test_one_of_two_persons_is_held_out_and_no_video_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no videos"):
        find_videos(tmp_path, 0.1)
    (tmp_path / "a.mp4").touch()
    assert [video.heldout for video in find_videos(tmp_path, 1e-9)] == [False]
    (tmp_path / "b.MP4").touch()
    assert sorted(video.heldout for video in find_videos(tmp_path, 1e-9)) == [False, True]


def test_pixel_aspect_ratio_and_rotation_are_corrected() -> None:
    frame = av.VideoFrame.from_ndarray(np.zeros((60, 40, 3), np.uint8), "rgb24")
    assert video.upright(video.Tick(0, frame, 0.0, 2.0)).shape == (60, 80, 3)
    assert video.upright(video.Tick(0, frame, 0.0, 2.0), 40).shape == (30, 40, 3)


def test_the_command_processes_each_video_once(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["footage", str(videos / "ben"), "--out", str(tmp_path), "--jobs", "1", "--heldout-share", "0"]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(footage, "extract_in_subprocess", extract_clips)
    main()
    output = capsys.readouterr().out
    assert "empty.mkv: 0 clips, 0 s; refused: no face" in output
    assert "refused: unreadable (InvalidDataError): 2 videos" in output
    rows = [json.loads(line) for line in (tmp_path / "footage.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    main()
    assert "3 videos were processed before" in capsys.readouterr().out


def test_a_video_that_crashes_or_hangs_the_decoder_is_refused(videos: Path, tmp_path: Path) -> None:
    talk = footage.SourceVideo(videos / "ben" / "empty.mkv", "empty.mkv", "ben", False)
    assert footage.extract_in_subprocess(talk, tmp_path, RULES, timeout_s=0.0).refused == {"takes too long": 0}
    # Invalid rules end the subprocess, as a crash of the decoder would.
    assert footage.extract_in_subprocess(talk, tmp_path, None).refused == {"crashes the decoder": 0}  # type: ignore[arg-type]
