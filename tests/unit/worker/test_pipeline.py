import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from tests.unit.worker import media

from dubline.framing.face import FaceBox
from dubline.orchestration.errors import LeaseLostError, OutOfMemoryError
from dubline.orchestration.jobs import Stage
from dubline.worker import pipeline
from dubline.worker.container import WAV
from dubline.worker.pipeline import Renderer, RenderJob

FACE = FaceBox(176, 76, 271, 171)


def job(portrait: Path, speech: Path, seconds: float) -> RenderJob:
    return RenderJob(
        portrait=portrait,
        portrait_px=512 * 512,
        face=FACE,
        speech=speech,
        container=WAV,
        duration_s=seconds,
        preset="tiny",
        seed=0,
    )


def ignore(_stage: Stage, _percent: float) -> None:
    pass


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


def test_a_job_becomes_a_video_and_tells_its_stages(
    renderer: Renderer, portrait_file: Path, tmp_path: Path, scratch: Path
) -> None:
    speech = media.wav(tmp_path / "six.wav", media.tone(6.01))
    told: list[tuple[Stage, float]] = []
    video = renderer.run(job(portrait_file, speech, 6.01), scratch, lambda *step: told.append(step))
    assert video.duration_s == pytest.approx(6.04)
    assert video.weights_sha256 == "0" * 64
    assert [stage for stage, _ in told] == sorted((stage for stage, _ in told), key=list(Stage).index)
    percents = [percent for stage, percent in told]
    assert percents == sorted(percents)
    assert len(list(scratch.glob("segment-*.mp4"))) == 2
    with av.open(str(video.path)) as file:
        pictures = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    assert len(pictures) == 151
    still = np.asarray(Image.open(portrait_file).convert("L")).astype(int)
    body, head = (slice(300, 500), slice(0, 512)), (slice(80, 160), slice(180, 270))
    moved = np.mean([np.abs(picture.astype(int) - pictures[0])[head].mean() for picture in pictures])
    assert moved > 1
    assert max(np.abs(picture.astype(int) - pictures[0])[body].mean() for picture in pictures) < 2
    assert abs(pictures[0].astype(int)[body].mean() - (16 + still[body].mean() * 219 / 255)) < 12


def test_the_same_job_gives_the_same_bytes(
    renderer: Renderer, portrait_file: Path, speech_file: Path, tmp_path: Path
) -> None:
    results = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        video = renderer.run(job(portrait_file, speech_file, 1.0), tmp_path / name, ignore)
        results.append(video.path.read_bytes())
    assert results[0] == results[1]


def test_a_lost_lease_stops_the_job_between_batches(
    renderer: Renderer, portrait_file: Path, speech_file: Path, scratch: Path
) -> None:
    def lose(stage: Stage, percent: float) -> None:
        if stage is Stage.RENDERING and percent > pipeline.SAMPLED_PERCENT:
            raise LeaseLostError

    with pytest.raises(LeaseLostError):
        renderer.run(job(portrait_file, speech_file, 1.0), scratch, lose)
    assert not (scratch / "video.mp4").exists()


def test_too_little_memory_has_a_code(
    renderer: Renderer, portrait_file: Path, speech_file: Path, scratch: Path
) -> None:
    def starve(stage: Stage, _percent: float) -> None:
        if stage is Stage.SAMPLING:
            raise torch.OutOfMemoryError

    with pytest.raises(OutOfMemoryError):
        renderer.run(job(portrait_file, speech_file, 1.0), scratch, starve)


def test_frames_are_not_collected_in_memory(
    renderer: Renderer, tmp_path: Path, astronaut: Image.Image, scratch: Path
) -> None:
    portrait = tmp_path / "portrait.png"
    astronaut.save(portrait)
    speech = media.wav(tmp_path / "long.wav", media.tone(12))
    tracemalloc.start()
    try:
        renderer.run(job(portrait, speech, 12.0), scratch, ignore)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6  # the frames together have 236 MB
