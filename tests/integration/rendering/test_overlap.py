# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
"""The parts of a render at the same time: the bytes of one after the other, and the cause of whichever fails."""

from __future__ import annotations

import errno
import hashlib
import threading
from contextlib import ExitStack
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

import cv2
import pytest
import torch
from tests.integration.rendering.test_pipeline import FolderCheckpoints, ignore, job
from tests.unit.worker import media_files as media
from tests.unit.worker import stub_networks
from tests.unit.worker.rendering.test_device import opencv_error

from dubline.models.weights import load_networks
from dubline.orchestration.domain.errors import (
    DeviceFailedError,
    EncoderFailedError,
    LeaseLostError,
    OutOfMemoryError,
    ScratchFullError,
)
from dubline.worker.media import mux
from dubline.worker.rendering import device, motion, pipeline
from dubline.worker.rendering.checkpoints import NoCheckpoints
from dubline.worker.rendering.pipeline import Renderer
from dubline.worker.runtime.shutdown import StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dubline.models.stage1.autoencoder import Fields
    from dubline.orchestration.domain.checkpoints import CheckpointKind
    from dubline.orchestration.domain.jobs import Stage
    from dubline.worker.rendering.job import RenderJob

WITHIN_S = 20.0
CPU = torch.device("cpu")


@pytest.fixture
def request_of_three(portrait_file: Path, speech_file: Path, monkeypatch: pytest.MonkeyPatch) -> RenderJob:
    """A job of three segments, of two batches, two and one."""
    monkeypatch.setattr(motion, "SEGMENT_FRAMES", 16)
    monkeypatch.setattr(pipeline.device, "CPU_FRAMES", (8,))
    monkeypatch.setattr(pipeline.device, "compute_threads", lambda _: 3)
    return job(portrait_file, speech_file, 1.4)


def folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def one_after_the_other(request: RenderJob, models: Any, scratch: Path) -> bytes:
    """Render by calling each part when the one before has ended."""
    networks = models.get(request.options.preset)
    run = pipeline._Run(request, networks, CPU, scratch, ignore, NoCheckpoints())
    batch, parts = networks.preset.render_batch, []
    with ExitStack() as opened:
        opened.enter_context(torch.inference_mode())
        prepared, compositor = run.prepare(opened.enter_context(run.decoder()))
        stored = opened.enter_context(run.sampling(prepared))
        run._sample_to(run._frames)
        for number, span in enumerate(motion.segments(run._frames, batch)):
            fields = [prepared.fields(stored, frames) for frames in motion.batches(span, batch)]
            crops = [compositor.enlarge(one) for one in fields]
            pictures = [one.copy() for one in compositor.frames(crops)]
            parts.append(scratch / f"segment-{number}.mp4")
            assert mux.encode_segment(pictures, *compositor.size, parts[-1]) == len(span)
        return run.mux(parts).path.read_bytes()


def test_the_bytes_are_those_of_one_part_after_the_other(
    renderer: Renderer, request_of_three: RenderJob, tmp_path: Path
) -> None:
    expected = one_after_the_other(request_of_three, stub_networks.StubModels(), folder(tmp_path, "serial"))
    made = renderer.run(request_of_three, folder(tmp_path, "made"), ignore)
    assert made.path.read_bytes() == expected


def test_the_bytes_do_not_depend_on_the_number_of_processors(
    portrait_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loaded(stub_networks.StubModels):
        def get(self, _preset: str, _pin: object = None, _report: object = None) -> Any:
            return networks

    networks, hashes = load_networks("tiny", CPU), set()
    request = job(portrait_file, media.wav(tmp_path / "short.wav", media.tone(0.4)), 0.4)
    for count in (1, 3):
        monkeypatch.setattr("dubline.worker.runtime.processors.usable", lambda count=count: count)
        torch.set_num_threads(count)
        device.make_deterministic()
        video = Renderer(Loaded()).run(request, folder(tmp_path, str(count)), ignore)
        hashes.add(hashlib.sha256(video.path.read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_the_next_segment_is_computed_while_one_is_encoded_and_one_stored(
    renderer: Renderer, request_of_three: RenderJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = {number: Event() for number in range(5)}
    fields, encode = motion.PreparedSource.fields, mux.encode_segment

    def noted(self: motion.PreparedSource, path: Path, frames: range) -> Fields:
        result = fields(self, path, frames)
        computed[frames.start // 8].set()
        return result

    def encode_late(frames: Any, width: int, height: int, path: Path, report: Any) -> int:
        if path.stem.endswith("0"):
            assert computed[2].wait(WITHIN_S), "the second segment begins while the first is encoded"
        return encode(frames, width, height, path, report)

    class Late(FolderCheckpoints):
        def keep(self, kind: CheckpointKind, number: int, path: Path) -> None:
            if kind.value == "segment":
                assert computed[4].wait(WITHIN_S), "the third segment begins while the first is stored"
            super().keep(kind, number, path)

    monkeypatch.setattr(motion.PreparedSource, "fields", noted)
    monkeypatch.setattr(mux, "encode_segment", encode_late)
    late = Late(tmp_path / "checkpoints")
    renderer.run(request_of_three, folder(tmp_path, "made"), ignore, late)
    assert late.names == ["motion-0", "segment-0", "segment-1"]


def test_the_portrait_is_encoded_while_the_recording_is_decoded(
    renderer: Renderer, request_of_three: RenderJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding = Event()
    prepare, write = pipeline.prepare, pipeline.SpeechFiles.write

    def prepare_late(*arguments: Any) -> Any:
        assert decoding.wait(WITHIN_S), "the recording is decoded before the portrait is encoded"
        return prepare(*arguments)

    def noted(*arguments: Any) -> None:
        decoding.set()
        write(*arguments)

    monkeypatch.setattr(pipeline, "prepare", prepare_late)
    monkeypatch.setattr(pipeline.SpeechFiles, "write", noted)
    renderer.run(request_of_three, folder(tmp_path, "made"), ignore)


def test_a_short_video_is_rendered_while_its_motion_is_sampled(
    renderer: Renderer, portrait_file: Path, speech_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, computed = job(portrait_file, speech_file, 1.4), Event()
    fields, sample, sample_to = motion.PreparedSource.fields, motion.sample_motion, pipeline._Run._sample_to

    def noted(self: motion.PreparedSource, path: Path, frames: range) -> Fields:
        computed.set()
        return fields(self, path, frames)

    def sample_late(*arguments: Any, **named: Any) -> Iterator[torch.Tensor]:
        for number, window in enumerate(sample(*arguments, **named)):
            assert number == 0 or computed.wait(WITHIN_S), "frames of the first window are computed before the second"
            yield window

    with monkeypatch.context() as whole:
        whole.setattr(pipeline._Run, "_sample_to", lambda self, _frame: sample_to(self, self._frames))
        expected = renderer.run(request, folder(tmp_path, "after"), ignore).path.read_bytes()
    monkeypatch.setattr(motion.PreparedSource, "fields", noted)
    monkeypatch.setattr(motion, "sample_motion", sample_late)
    assert renderer.run(request, folder(tmp_path, "meanwhile"), ignore).path.read_bytes() == expected
    assert computed.is_set()


def test_a_long_video_is_rendered_while_its_motion_is_sampled(
    renderer: Renderer, request_of_three: RenderJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, fields, computed = motion.sample_motion, motion.PreparedSource.fields, Event()

    def sample_late(*arguments: Any, **named: Any) -> Iterator[torch.Tensor]:
        for number, window in enumerate(sample(*arguments, **named)):
            assert number == 0 or computed.wait(WITHIN_S), "frames are computed before the motion is complete"
            yield window

    def noted(self: motion.PreparedSource, path: Path, frames: range) -> Fields:
        computed.set()
        return fields(self, path, frames)

    expected = renderer.run(request_of_three, folder(tmp_path, "after"), ignore).path.read_bytes()
    monkeypatch.setattr(motion, "sample_motion", sample_late)
    monkeypatch.setattr(motion.PreparedSource, "fields", noted)
    kept = FolderCheckpoints(tmp_path / "checkpoints")
    assert renderer.run(request_of_three, folder(tmp_path, "made"), ignore, kept).path.read_bytes() == expected
    # A segment without its motion would be of no use to another attempt.
    assert kept.names == ["motion-0", "segment-0", "segment-1"]


def test_sampling_that_fails_after_a_segment_gives_the_cause(
    renderer: Renderer, request_of_three: RenderJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = motion.sample_motion

    def fail(*arguments: Any, **named: Any) -> Iterator[torch.Tensor]:
        yield next(sample(*arguments, **named))
        raise ScratchFullError

    monkeypatch.setattr(motion, "sample_motion", fail)
    kept = FolderCheckpoints(tmp_path / "checkpoints")
    with pytest.raises(ScratchFullError):
        renderer.run(request_of_three, folder(tmp_path, "made"), ignore, kept)
    assert kept.names == []
    assert remaining() == []


class Failing(FolderCheckpoints):
    """Fails to store the first segment."""

    def keep(self, kind: CheckpointKind, number: int, path: Path) -> None:
        if kind.value == "segment":
            raise LeaseLostError
        super().keep(kind, number, path)


class Stopping(FolderCheckpoints):
    """Stops the job after the first segment."""

    def check(self) -> None:
        if any(name.startswith("segment") for name in self.names):
            raise StoppedError


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (RuntimeError("a defect"), RuntimeError),
        # Not taken for the end of the encoder.
        (BrokenPipeError(), BrokenPipeError),
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemoryError),
        (MemoryError(), OutOfMemoryError),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), OutOfMemoryError),
        (opencv_error(cv2.Error.StsNoMem), OutOfMemoryError),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), DeviceFailedError),
    ],
)
@pytest.mark.usefixtures("_memory_is_kept")
def test_networks_that_fail_give_the_cause(
    renderer: Renderer,
    request_of_three: RenderJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    expected: type[Exception],
) -> None:
    def fail(*_: object) -> Fields:
        raise raised

    monkeypatch.setattr(stub_networks.StubAutoencoder, "fields", staticmethod(fail))
    with pytest.raises(expected):
        renderer.run(request_of_three, folder(tmp_path, "made"), ignore)
    assert remaining() == []


@pytest.mark.parametrize("expected", [EncoderFailedError, ScratchFullError])
def test_an_encoder_that_fails_gives_the_cause(
    renderer: Renderer,
    request_of_three: RenderJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected: type[Exception],
) -> None:
    encode = mux.encode_segment
    place = "/dev/full" if expected is ScratchFullError else "/missing/segment.mp4"
    monkeypatch.setattr(
        mux,
        "encode_segment",
        lambda frames, width, height, path, report: encode(frames, width, height, type(path)(place), report),
    )
    with pytest.raises(expected):
        renderer.run(request_of_three, folder(tmp_path, "made"), ignore)
    assert remaining() == []


@pytest.mark.parametrize(("checkpoints", "expected"), [(Failing, LeaseLostError), (Stopping, StoppedError)])
def test_what_stops_the_storing_of_a_segment_gives_the_cause(
    renderer: Renderer,
    request_of_three: RenderJob,
    tmp_path: Path,
    checkpoints: type[FolderCheckpoints],
    expected: type[Exception],
) -> None:
    with pytest.raises(expected):
        renderer.run(request_of_three, folder(tmp_path, "made"), ignore, checkpoints(tmp_path / "checkpoints"))
    assert not (tmp_path / "made" / "video.mp4").exists()
    assert remaining() == []


def test_a_lost_lease_is_noticed_while_a_batch_is_computed(
    renderer: Renderer, request_of_three: RenderJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, lost, fields = Event(), Event(), motion.PreparedSource.fields

    def long(self: motion.PreparedSource, path: Path, frames: range) -> Fields:
        begun.set()
        assert lost.wait(WITHIN_S)
        return fields(self, path, frames)

    def report(_stage: Stage, _percent: float) -> None:
        if begun.is_set():
            lost.set()
            raise LeaseLostError

    monkeypatch.setattr(motion.PreparedSource, "fields", long)
    with pytest.raises(LeaseLostError):
        renderer.run(replace(request_of_three), folder(tmp_path, "made"), report)
    assert remaining() == []


def remaining() -> list[str]:
    """Return the names of the threads that outlive a job."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("compute", "keep"))]
