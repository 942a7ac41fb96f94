from __future__ import annotations

import tracemalloc
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from tests.unit.worker import media_files as media
from tests.unit.worker import stub_networks

from dubline.framing import crop
from dubline.framing.face import FaceBox
from dubline.options.render import MotionControls, OutputOptions, RenderOptions
from dubline.orchestration.domain.checkpoints import CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.errors import DeviceFailedError, LeaseLostError, OutOfMemoryError
from dubline.orchestration.domain.jobs import Stage
from dubline.worker.media import decoder
from dubline.worker.media.container import WAV
from dubline.worker.rendering import pipeline
from dubline.worker.rendering.checkpoints import NoCheckpoints
from dubline.worker.rendering.job import RenderJob
from dubline.worker.rendering.motion import PreparedSource
from dubline.worker.rendering.version import renderer_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from dubline.models.stage1.autoencoder import Fields
    from dubline.worker.rendering.pipeline import Renderer

FACE = FaceBox(176, 76, 271, 171)
FULL_HEIGHT = RenderOptions(preset="tiny", seed=0)
#: Frames of a quarter of the pixels take less time to encode.
SMALL = RenderOptions(preset="tiny", seed=0, output=OutputOptions(height_px=256))


def job(portrait: Path, speech: Path, seconds: float) -> RenderJob:
    return RenderJob(
        portrait=portrait,
        portrait_px=512 * 512,
        face=FACE,
        speech=speech,
        container=WAV,
        duration_s=seconds,
        options=SMALL,
    )


def ignore(_stage: Stage, _percent: float) -> None:
    pass


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


def test_the_motion_controls_of_a_job_are_applied(
    renderer: Renderer, portrait_file: Path, speech_file: Path, scratch: Path
) -> None:
    request = replace(
        job(portrait_file, speech_file, 1.0),
        options=RenderOptions(preset="tiny", seed=0, controls=MotionControls(head_motion=0.25)),
    )
    renderer.run(request, scratch, ignore)
    assert (np.load(scratch / "motion.npy")[:, 2] == 0.25).all()


def test_a_job_is_rendered_and_reports_its_stages(
    renderer: Renderer, portrait_file: Path, tmp_path: Path, scratch: Path
) -> None:
    speech = media.wav(tmp_path / "six.wav", media.tone(6.01))
    reported: list[tuple[Stage, float]] = []
    request = replace(job(portrait_file, speech, 6.01), options=FULL_HEIGHT)
    video = renderer.run(request, scratch, lambda *step: reported.append(step))
    assert video.duration_s == pytest.approx(6.04)
    assert [stage for stage, _ in reported] == sorted((stage for stage, _ in reported), key=list(Stage).index)
    percents = [percent for stage, percent in reported]
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


def test_a_tilted_face_is_seen_upright_and_moves_where_it_is(
    renderer: Renderer, astronaut: Image.Image, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pillow rotates anticlockwise.
    astronaut.convert("RGB").rotate(-40, Image.Resampling.BICUBIC, center=FACE.centre).save(tmp_path / "tilted.png")
    seen = []
    encode = PreparedSource.from_crop
    monkeypatch.setattr(PreparedSource, "from_crop", lambda *of: seen.append(of[1]) or encode(*of), raising=True)
    speech = media.wav(tmp_path / "short.wav", media.tone(0.2))
    request = replace(job(tmp_path / "tilted.png", speech, 0.2), options=FULL_HEIGHT, tilt_deg=40.0)
    video = renderer.run(request, scratch, ignore)
    square = crop.around(FACE)
    upright = crop.cut(np.asarray(astronaut.convert("RGB")), square)
    inner = slice(square.side // 4, -square.side // 4)
    # The networks see other colours, but the same face.
    assert np.corrcoef(seen[0][inner, inner].ravel(), upright[inner, inner].ravel())[0, 1] > 0.95
    with av.open(str(video.path)) as file:
        pictures = [frame.to_ndarray(format="gray").astype(int) for frame in file.decode(video=0)]
    moved = np.max([np.abs(picture - pictures[0]) for picture in pictures[1:]], axis=0)
    assert moved[90:150, 195:255].mean() > 1
    assert moved[300:].mean() < 1


def test_a_video_is_encoded_at_the_chosen_height(
    renderer: Renderer, portrait_file: Path, speech_file: Path, scratch: Path
) -> None:
    chosen = RenderOptions(preset="tiny", seed=0, output=OutputOptions(height_px=256))
    video = renderer.run(replace(job(portrait_file, speech_file, 1.0), options=chosen), scratch, ignore)
    with av.open(str(video.path)) as file:
        stream = file.streams.video[0]
        assert (stream.width, stream.height) == (256, 256)


def test_the_same_job_gives_the_same_bytes(
    renderer: Renderer, portrait_file: Path, speech_file: Path, tmp_path: Path
) -> None:
    results = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        video = renderer.run(job(portrait_file, speech_file, 1.0), tmp_path / name, ignore)
        results.append(video.path.read_bytes())
    assert results[0] == results[1]


def test_the_recording_of_a_job_is_decoded_once(
    renderer: Renderer, portrait_file: Path, speech_file: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = decoder.Decoder.ask

    def spy(self: decoder.Decoder, question: dict[str, Any], most_bytes: int) -> Iterator[bytes]:
        asked.append(question["what"])
        return ask(self, question, most_bytes)

    monkeypatch.setattr(decoder.Decoder, "ask", spy)
    renderer.run(job(portrait_file, speech_file, 1.0), scratch, ignore)
    assert asked == ["still", "speech"]


def test_a_lost_lease_stops_the_job_between_batches(
    renderer: Renderer, portrait_file: Path, speech_file: Path, scratch: Path
) -> None:
    def lose(stage: Stage, percent: float) -> None:
        if stage is Stage.RENDERING and percent > pipeline.SAMPLED_PERCENT:
            raise LeaseLostError

    with pytest.raises(LeaseLostError):
        renderer.run(job(portrait_file, speech_file, 1.0), scratch, lose)
    assert not (scratch / "video.mp4").exists()


@pytest.mark.parametrize(
    "case",
    [
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemoryError),
        (MemoryError(), OutOfMemoryError),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), DeviceFailedError),
        (RuntimeError("a defect"), RuntimeError),
    ],
)
@pytest.mark.usefixtures("_memory_is_kept")
def test_device_errors_are_translated(
    renderer: Renderer, portrait_file: Path, speech_file: Path, scratch: Path, case: tuple[Exception, type[Exception]]
) -> None:
    raised, expected = case

    def fail(stage: Stage, _percent: float) -> None:
        if stage is Stage.SAMPLING:
            raise raised

    with pytest.raises(expected):
        renderer.run(job(portrait_file, speech_file, 1.0), scratch, fail)


def test_memory_is_returned_after_an_attempt_without_enough_of_it(
    renderer: Renderer, portrait_file: Path, speech_file: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []

    def fields(_source: Tensor, motion: Tensor, _open_lids: Tensor) -> Fields:
        tensor = motion.clone()
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(stub_networks.StubAutoencoder, "fields", staticmethod(fields))
    release = pipeline.device.release_memory
    monkeypatch.setattr(pipeline.device, "release_memory", lambda: alive.append(held[0]() is not None) or release())
    with pytest.raises(OutOfMemoryError):
        renderer.run(job(portrait_file, speech_file, 1.0), scratch, ignore)
    # The tensors of the attempt are gone when the allocator's cache is emptied.
    assert alive == [False]


class FolderCheckpoints(NoCheckpoints):
    """Stores checkpoints in a folder."""

    def __init__(self, folder: Path, stop_after: str | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.stop_after = folder, stop_after
        self.fingerprint: RenderFingerprint | None = None
        self.fetched: list[str] = []

    def begin(self, fingerprint: RenderFingerprint) -> None:
        self.fingerprint = fingerprint

    def fetch(self, kind: CheckpointKind, number: int, path: Path) -> bool:
        kept = self.folder / f"{kind}-{number}"
        if not kept.exists():
            return False
        path.write_bytes(kept.read_bytes())
        self.fetched.append(kept.name)
        return True

    def keep(self, kind: CheckpointKind, number: int, path: Path) -> None:
        (self.folder / f"{kind}-{number}").write_bytes(path.read_bytes())
        if f"{kind}-{number}" == self.stop_after:
            raise LeaseLostError

    def check(self) -> None:
        pass

    def missing(self, count: int) -> Iterator[int]:
        return (number for number in range(count) if f"segment-{number}" not in self.names)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.mark.parametrize("last", ["motion-0", "segment-0", "segment-1"])
def test_a_resumed_job_gives_the_same_bytes(  # noqa: PLR0913, PLR0917 - the fixtures it needs
    renderer: Renderer,
    portrait_file: Path,
    speech_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last: str,
) -> None:
    monkeypatch.setattr(pipeline.motion, "SEGMENT_FRAMES", 12)
    for name in ("whole", "first", "second"):
        (tmp_path / name).mkdir()
    request = job(portrait_file, speech_file, 1.2)
    whole = renderer.run(request, tmp_path / "whole", ignore)
    with pytest.raises(LeaseLostError):
        renderer.run(request, tmp_path / "first", ignore, FolderCheckpoints(tmp_path / "checkpoints", stop_after=last))
    checkpoints = FolderCheckpoints(tmp_path / "checkpoints")
    kept = checkpoints.names
    resumed = renderer.run(request, tmp_path / "second", ignore, checkpoints)
    assert last in kept
    assert checkpoints.fetched == kept
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    # The third and last segment is not stored.
    assert checkpoints.names == ["motion-0", "segment-0", "segment-1"]


def test_a_job_of_one_segment_stores_no_checkpoint(
    renderer: Renderer, portrait_file: Path, speech_file: Path, tmp_path: Path, scratch: Path
) -> None:
    checkpoints = FolderCheckpoints(tmp_path / "checkpoints")
    renderer.run(job(portrait_file, speech_file, 1.0), scratch, ignore, checkpoints)
    assert checkpoints.names == []


def test_halving_the_batch_keeps_the_segments(
    renderer: Renderer, portrait_file: Path, speech_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    fields = stub_networks.StubAutoencoder.fields

    def count(
        self: stub_networks.StubAutoencoder, source: stub_networks.StubSource, motion: Tensor, open_lids: Tensor
    ) -> Fields:
        batches.append(len(motion))
        return fields(self, source, motion, open_lids)

    monkeypatch.setattr(stub_networks.StubAutoencoder, "fields", count)
    for halvings, batch in ((0, 12), (1, 6), (9, 1)):
        folder = tmp_path / str(halvings)
        folder.mkdir()
        checkpoints, batches[:] = FolderCheckpoints(tmp_path / "checkpoints"), []
        renderer.run(replace(job(portrait_file, speech_file, 1.0), halvings=halvings), folder, ignore, checkpoints)
        assert max(batches) == batch
        assert checkpoints.fingerprint == RenderFingerprint(
            weights_sha256="0" * 64,
            render_batch=batch,
            segment_frames=120,
            encoder_threads=2,
            renderer_sha256=renderer_sha256(torch.device("cpu")),
        )


def test_memory_does_not_grow_with_the_number_of_frames(
    renderer: Renderer, tmp_path: Path, astronaut: Image.Image, scratch: Path
) -> None:
    portrait = tmp_path / "portrait.png"
    astronaut.save(portrait)
    speech = media.wav(tmp_path / "long.wav", media.tone(8))
    tracemalloc.start()
    try:
        renderer.run(replace(job(portrait, speech, 8.0), options=FULL_HEIGHT), scratch, ignore)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6  # all frames together take 157 MB
