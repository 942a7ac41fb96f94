"""A small evaluation from clips on disk to the last line, without a landmark environment, and its command line."""

from __future__ import annotations

import io
import json
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from rich.console import Console
from tests.unit.training.conftest import SMALL

from dubline.models.motion.readout import LinearReadout
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage2.diffusion import Diffusion
from dubline.models.weights import Networks
from dubline.training import evaluate
from dubline.training.corpus import Clip, read_speech
from dubline.training.evaluation import report
from dubline.training.evaluation.generation import portrait, recordings, video_writer
from dubline.training.evaluation.landmarks import environment
from dubline.training.evaluation.landmarks.client import LandmarkClient
from dubline.training.evaluation.landmarks.environment import LandmarkEnvironmentError
from dubline.training.evaluation.opening_plot import OpeningPlot
from dubline.training.evaluation.scores.exact_motion import read_pairs
from dubline.training.evaluation.study import Study, gather, spread

FRAMES = 8


def write_clip(folder: Path, clip: Clip, split: str = "heldout") -> None:
    with av.open(str(folder / f"{clip.name}.mp4"), "w") as container:
        video = container.add_stream("libx264", 25)
        video.height, video.width, video.pix_fmt = *clip.frames.shape[1:3], "yuv420p"
        video.time_base = Fraction(1, 25)
        audio = container.add_stream("aac", 16_000, layout="mono")
        for picture in clip.frames[:FRAMES]:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(video.encode())
        sound = av.AudioFrame.from_ndarray(clip.speech[None, : FRAMES * 640], "fltp", "mono")
        sound.sample_rate = 16_000
        container.mux([*audio.encode(sound), *audio.encode()])
    side = clip.frames.shape[1]
    np.savez(
        folder / f"{clip.name}.npz",
        meta=json.dumps({"kind": clip.kind, "split": split, "size": side}),
        landmarks=((clip.landmarks[:FRAMES] + 1) * side - 1) / 2,
        aperture_mm=clip.aperture_mm[:FRAMES],
        bilabial=(clip.aperture_mm[:FRAMES] < 1).astype(np.float16),
        phoneme=np.array(["a", "p", "_"]),
        phoneme_time=np.array([[0, 0.2], [0.2, 0.3], [0.3, 0.48]], np.float32),
        **{key: np.zeros((FRAMES, 2)) for key in ("expression", "rotation", "translation", "gaze")},
        **{key: np.zeros(FRAMES) for key in ("blink", "lip_shut")},
    )


def write_dense(folder: Path, split: str = "heldout") -> None:
    random = np.random.default_rng(0)
    a = np.kron(random.integers(0, 255, (2, 8, 8, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    flow = np.zeros((2, 64, 64, 2), np.float16)
    flow[..., 0] = 4
    np.savez(folder / f"{split}.npz", split=split, a=a, b=np.roll(a, -4, axis=2), flow=flow)


@pytest.fixture(scope="module")
def networks() -> Networks:
    torch.manual_seed(0)
    return Networks(
        SMALL,
        Autoencoder(SMALL.autoencoder).eval(),
        Diffusion(SMALL).eval(),
        LinearReadout(SMALL.diffusion.whitened),
        "0" * 64,
    )


@pytest.fixture
def corpus(tmp_path: Path, clips: list[Clip]) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for clip in clips[:2]:
        write_clip(folder, clip)
    write_clip(folder, clips[2], split="train")
    return folder


def test_without_landmarks_pictures_are_scored_and_a_note_gives_the_reason(
    networks: Networks, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path / "nowhere"))
    monkeypatch.setattr("dubline.training.evaluation.study.LONG_S", 0.4)
    (tmp_path / "dense").mkdir()
    write_dense(tmp_path / "dense")
    out, console = tmp_path / "eval", Console(file=io.StringIO(), width=200)
    material = gather(corpus, dense=tmp_path / "dense")
    scores = Study(networks, material, out, console).run()
    report.show(scores, console)
    assert scores["clips"] == 2
    line = scores["line"]
    assert line["psnr"] > 0
    assert line["photo_sharpness"] > 0
    assert line["drift"] > 0
    assert 0 < line["baseline_correlation"] <= 1
    assert np.isnan(line["lip_correlation"])
    assert np.isnan(line["photo_faces"])
    assert scores["dense"]["exact flow"]["psnr"] > scores["dense"]["still frame"]["psnr"] + 5
    assert any("nowhere" in note for note in scores["notes"])
    assert json.loads((out / "scores.json").read_text())["line"]["lip_correlation"] is None
    assert (out / "contact.png").exists()
    assert not (out / "mouth_opening.png").exists()
    assert report.line(line).startswith("psnr=")
    assert report.line(line).split(" ")[-1].startswith("photo_sharpness=")


def test_training_pairs_are_not_scored(tmp_path: Path) -> None:
    write_dense(tmp_path, "train")
    write_dense(tmp_path)
    assert list(read_pairs(tmp_path / "train.npz", 32)) == []
    pairs = list(read_pairs(tmp_path / "heldout.npz", 32))
    assert [pair.source.shape for pair in pairs] == [(32, 32, 3)] * 2
    errors = [np.abs(pair.warped[:, :-2].astype(int) - pair.driving[:, :-2]).mean() for pair in pairs]
    assert max(errors) < 1


def test_gather_lists_held_out_clips_and_a_limit_spreads_them(corpus: Path) -> None:
    assert [path.stem for path in gather(corpus).clips] == ["00000", "00001"]
    assert [path.stem for path in gather(corpus, limit=1).clips] == ["00000"]
    assert spread([Path(str(index)) for index in range(10)], 3) == [Path("0"), Path("4"), Path("9")]


def test_a_folder_without_held_out_clips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=tmp_path.name):
        gather(tmp_path)


def test_without_a_folder_the_command_prints_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(evaluate.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "argv", ["evaluate"])
    with pytest.raises(SystemExit, match="make evaluate CLIPS="):
        evaluate.main()


def test_a_failed_environment_names_the_packages_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(LandmarkEnvironmentError, match=r"mediapipe==0\.10\.21.*DUBLINE_LANDMARKS"):
        environment._create(tmp_path / "made")


def test_a_crash_of_the_landmark_process_keeps_earlier_responses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = tmp_path / "reader.py"
    reader.write_text(
        "import json, sys\n"
        "request = json.loads(input())\n"
        "columns = dict.fromkeys(('opening', 'between', 'eyes'), [0.1, None])\n"
        "response = {'video': request['video'], **columns, 'identity': [[0, 0.9]], 'person': None, 'points': []}\n"
        "open(sys.argv[1], 'w').write(json.dumps(response) + '\\n')\n"
        "sys.exit('out of faces')\n"
    )
    monkeypatch.setattr("dubline.training.evaluation.landmarks.client.READER", reader)
    monkeypatch.setattr(environment, "interpreter", lambda _: Path(sys.executable))
    landmarks = LandmarkClient(tmp_path, Console(quiet=True))
    landmarks.submit(tmp_path / "a.mp4")
    measured = landmarks.finish(lambda *_: None)
    assert measured[tmp_path / "a.mp4"].found_share == 0.5
    assert "out of faces" in landmarks.failure


def test_the_mouth_box_lies_inside_the_face_box() -> None:
    from PIL import Image  # noqa: PLC0415
    from skimage import data  # noqa: PLC0415

    found = portrait.cut_portrait("astronaut", Image.fromarray(data.astronaut()))
    assert found is not None
    side = found.picture.shape[0]
    assert found.picture.shape == (side, side, 3)
    face, mouth = portrait.boxes_of(found.face).values()
    assert 0.4 < (face[0].stop - face[0].start) / side < 0.65
    assert all(outer.start <= inner.start < inner.stop <= outer.stop for outer, inner in zip(face, mouth, strict=True))


def test_sharpness_is_measured_at_the_faces_current_position(tmp_path: Path) -> None:
    from PIL import Image  # noqa: PLC0415
    from skimage import data  # noqa: PLC0415

    found = portrait.cut_portrait("astronaut", Image.fromarray(data.astronaut()))
    assert found is not None
    raised = np.roll(found.picture, -found.picture.shape[0] // 12, axis=0)
    empty = np.full_like(raised, 90)
    frames = [raised] * (3 * video_writer.SHARPNESS_EVERY) + [empty] * video_writer.SHARPNESS_EVERY
    raised_video = video_writer.write_video(tmp_path / "raised.mp4", [np.stack(frames)], len(frames), found.face)
    seen = raised_video.sharpness["mouth"]
    there, at_rest = (portrait.sharpness_of(picture, found.face)["mouth"] for picture in (found.picture, raised))
    assert seen[:3] == pytest.approx([there] * 3, rel=0.1)
    assert abs(at_rest / there - 1) > 0.2
    assert np.isnan(seen[3:]).all()
    assert len(seen) == 4
    late = [empty] * video_writer.SHARPNESS_EVERY + [raised] * video_writer.SHARPNESS_EVERY
    seen = video_writer.write_video(tmp_path / "late.mp4", [np.stack(late)], len(late), found.face).sharpness["mouth"]
    assert np.isnan(seen).tolist() == [True, False]
    lost = video_writer.write_video(tmp_path / "lost.mp4", [np.stack([empty] * 6)], 6, found.face)
    assert np.isnan(lost.sharpness["mouth"]).tolist() == [True, True]


def test_a_picture_without_a_face_gives_no_portrait() -> None:
    from PIL import Image  # noqa: PLC0415

    assert portrait.cut_portrait("grey", Image.new("RGB", (120, 90), (128, 128, 128))) is None


def test_recordings_are_cut_and_joined_to_the_requested_length(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((np.sin(np.arange(16_000)) * 9000).astype(np.int16).tobytes())
    voice = read_speech(tmp_path / "a.wav", 1.5)
    assert len(voice) == 24_000
    assert 0.2 < np.abs(voice).max() < 0.35
    assert len(recordings.joined([voice, voice, voice], 2.5)) == 40_000
    assert len(recordings.joined([voice], 9)) == 24_000


def test_a_plot_has_gaps_where_no_face_was_found(tmp_path: Path) -> None:
    plot = OpeningPlot()
    assert not plot.save(tmp_path / "none.png")
    curve = np.array([0.1, np.nan, 0.2, 0.1])
    plot.add("a clip", {"truth": curve, "speech": curve / 2}, [range(1, 2)])
    assert plot.save(tmp_path / "plot.png")
