"""Long speech with the released TINY: constant memory, continuous windows, segments equal to the whole."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from dubline.models.sampling import sample_motion
from dubline.models.weights import Networks, load_networks
from dubline.worker.rendering import motion
from dubline.worker.rendering.motion import PreparedSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def networks() -> Networks:
    return load_networks("tiny", CPU)


@pytest.fixture(scope="module")
def face(astronaut: Image.Image) -> NDArray[np.uint8]:
    return np.array(astronaut.crop((130, 20, 322, 212)).resize((128, 128)))


@pytest.fixture(scope="module")
def prepared(networks: Networks, face: NDArray[np.uint8]) -> PreparedSource:
    with torch.inference_mode():
        return PreparedSource.from_crop(networks, face, CPU)


def babble(seconds: int) -> Callable[[], Iterator[NDArray[np.float32]]]:
    """Make noise of changing loudness, one second at a time, without storing it."""

    def second(index: int) -> NDArray[np.float32]:
        random = np.random.default_rng(index)
        swell = np.interp(np.arange(16_000), np.linspace(0, 16_000, 10), random.random(10))
        return (0.1 * swell * random.normal(size=16_000)).astype(np.float32)

    return lambda: (second(index) for index in range(seconds))


def allocated_bytes() -> int:
    """Return the bytes of tensors, arrays and other objects made since `gc.freeze` and `tracemalloc.start`."""
    gc.collect()
    # By type and not by isinstance, which reads `__class__`: some objects then emit a warning.
    tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
    return sum(storages.values()) + tracemalloc.get_traced_memory()[0]


def peak_between_windows(prepared: PreparedSource, seconds: int) -> int:
    """Return the highest number of bytes allocated between two windows of a recording."""
    allocated = []
    gc.freeze()
    tracemalloc.start()
    for window in sample_motion(prepared.networks, prepared.source, babble(seconds), seconds * 25, seed=0):
        assert len(window)
        allocated.append(allocated_bytes())
    tracemalloc.stop()
    gc.unfreeze()
    return max(allocated)


def test_sampling_memory_does_not_grow_with_the_speech(
    prepared: PreparedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One step instead of eight: the memory between windows does not depend on it.
    diffusion = prepared.networks.diffusion
    monkeypatch.setattr(diffusion, "params", replace(diffusion.params, steps=1))
    peak_between_windows(prepared, 5)
    half_a_minute_of_mel = 30 * 100 * 80 * 4
    assert peak_between_windows(prepared, 45) - peak_between_windows(prepared, 15) < half_a_minute_of_mel / 2


def test_motion_is_continuous_at_window_boundaries(prepared: PreparedSource) -> None:
    windows = sample_motion(prepared.networks, prepared.source, babble(24), 600, seed=0)
    steps = torch.cat(list(windows)).float().diff(dim=0).norm(dim=1)
    # Between the last frame of one window and the first of the next.
    boundaries = torch.tensor(prepared.networks.preset.diffusion.window_boundaries(600)) - 1
    around = [steps[(boundaries + place).clamp_max(len(steps) - 1)].median() for place in range(-4, 13)]
    assert max(around) < 2.5 * steps.median(), "no frame near a boundary moves more than others"
    assert min(around) > 0.3 * steps.median(), "no frame near a boundary moves less than others"


def generated(prepared: PreparedSource, path: Path, span: range) -> torch.Tensor:
    return torch.cat([prepared.fields(path, frames).generated.colour for frames in motion.batches(span, 8)])


def test_a_segment_rendered_alone_equals_that_of_the_whole(
    prepared: PreparedSource,
    networks: Networks,
    face: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(motion, "SEGMENT_FRAMES", 8)
    frames, path = 20, tmp_path / "motion.npy"
    with torch.inference_mode():
        assert list(prepared.store_motion(babble(2), frames, 0, path))[-1] == frames
        whole = generated(prepared, path, range(frames))
        other = PreparedSource.from_crop(networks, face, CPU)
        spans = motion.segments(frames, networks.preset.render_batch)
        assert [len(span) for span in spans] == [8, 8, 4]
        for span in reversed(spans):
            assert torch.equal(generated(other, path, span), whole[span.start : span.stop])
