"""One small evaluation from clips on disk to the last line, with a bench that cannot be made; and who asks it."""

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

from dubline.models.motion.readout import Rig
from dubline.models.presets import TINY
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
        TINY, Autoencoder(TINY.autoencoder).eval(), Diffusion(TINY).eval(), Rig(TINY.diffusion.whitened), "0" * 64
    )


@pytest.fixture
def corpus(tmp_path: Path, clips: list[Clip]) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for clip in clips[:2]:
        write_clip(folder, clip)
    write_clip(folder, clips[2], split="train")
    return folder


def test_without_landmarks_the_pictures_are_scored_and_a_sentence_says_why_the_rest_is_not(
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
    assert 0 < line["puppet_correlation"] <= 1
    assert np.isnan(line["lip_correlation"])
    assert np.isnan(line["photo_faces"])
    assert scores["dense"]["exact flow"]["psnr"] > scores["dense"]["still frame"]["psnr"] + 5
    assert any("nowhere" in note for note in scores["notes"])
    assert json.loads((out / "scores.json").read_text())["line"]["lip_correlation"] is None
    assert (out / "contact.png").exists()
    assert not (out / "mouth_opening.png").exists()
    assert report.line(line).startswith("psnr=")
    assert report.line(line).split(" ")[-1].startswith("photo_sharpness=")


def test_pairs_that_training_saw_are_no_ceiling(tmp_path: Path) -> None:
    write_dense(tmp_path, "train")
    write_dense(tmp_path)
    assert list(read_pairs(tmp_path / "train.npz", 32)) == []
    pairs = list(read_pairs(tmp_path / "heldout.npz", 32))
    assert [pair.source.shape for pair in pairs] == [(32, 32, 3)] * 2
    errors = [np.abs(pair.warped[:, :-2].astype(int) - pair.driving[:, :-2]).mean() for pair in pairs]
    assert max(errors) < 1


def test_only_held_out_clips_are_gathered_and_a_limit_spreads_them(corpus: Path) -> None:
    assert [path.stem for path in gather(corpus).clips] == ["00000", "00001"]
    assert [path.stem for path in gather(corpus, limit=1).clips] == ["00000"]
    assert spread([Path(str(index)) for index in range(10)], 3) == [Path("0"), Path("4"), Path("9")]


def test_a_folder_without_held_out_clips_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=tmp_path.name):
        gather(tmp_path)


def test_without_a_folder_the_command_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(evaluate.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "argv", ["evaluate"])
    with pytest.raises(SystemExit, match="make evaluate CLIPS="):
        evaluate.main()


def test_a_bench_that_cannot_be_made_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(LandmarkEnvironmentError, match=r"mediapipe==0\.10\.21.*DUBLINE_LANDMARKS"):
        environment._make(tmp_path / "made")


def test_a_reader_that_dies_leaves_its_last_words_and_the_answers_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = tmp_path / "reader.py"
    reader.write_text(
        "import json, sys\n"
        "question = json.loads(input())\n"
        "answer = {'video': question['video'], 'opening': [0.1, None], 'identity': [[0, 0.9]], 'person': None}\n"
        "open(sys.argv[1], 'w').write(json.dumps(answer) + '\\n')\n"
        "sys.exit('out of faces')\n"
    )
    monkeypatch.setattr("dubline.training.evaluation.landmarks.client.READER", reader)
    monkeypatch.setattr(environment, "python", lambda _: Path(sys.executable))
    landmarks = LandmarkClient(tmp_path, Console(quiet=True))
    landmarks.ask(tmp_path / "a.mp4")
    readings = landmarks.finish(lambda *_: None)
    assert readings[tmp_path / "a.mp4"].faces == 0.5
    assert "out of faces" in landmarks.trouble


def test_the_astronaut_is_framed_with_her_mouth_inside_her_face() -> None:
    from PIL import Image  # noqa: PLC0415
    from skimage import data  # noqa: PLC0415

    found = portrait.cut_portrait("astronaut", Image.fromarray(data.astronaut()))
    assert found is not None
    side = found.picture.shape[0]
    assert found.picture.shape == (side, side, 3)
    face, mouth = portrait.boxes_of(found.face).values()
    assert 0.4 < (face[0].stop - face[0].start) / side < 0.65
    assert all(outer.start <= inner.start < inner.stop <= outer.stop for outer, inner in zip(face, mouth, strict=True))


def test_sharpness_is_measured_where_the_face_has_moved_to(tmp_path: Path) -> None:
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


def test_a_picture_without_a_face_is_no_portrait() -> None:
    from PIL import Image  # noqa: PLC0415

    assert portrait.cut_portrait("grey", Image.new("RGB", (120, 90), (128, 128, 128))) is None


def test_recordings_are_cut_and_joined_to_the_seconds_that_are_asked_for(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((np.sin(np.arange(16_000)) * 9000).astype(np.int16).tobytes())
    voice = read_speech(tmp_path / "a.wav", 1.5)
    assert len(voice) == 24_000
    assert 0.2 < np.abs(voice).max() < 0.35
    assert len(recordings.joined([voice, voice, voice], 2.5)) == 40_000
    assert len(recordings.joined([voice], 9)) == 24_000


def test_a_plot_leaves_gaps_where_no_face_was_found(tmp_path: Path) -> None:
    plot = OpeningPlot()
    assert not plot.save(tmp_path / "none.png")
    curve = np.array([0.1, np.nan, 0.2, 0.1])
    plot.add("a clip", {"truth": curve, "speech": curve / 2}, [range(1, 2)])
    assert plot.save(tmp_path / "plot.png")
