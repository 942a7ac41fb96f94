"""Long speech with the released TINY: memory stays flat, windows join, and any segment equals the same of the whole."""

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
    """Noise that swells and fades, one second at a time; nothing of it is kept."""

    def second(index: int) -> NDArray[np.float32]:
        random = np.random.default_rng(index)
        swell = np.interp(np.arange(16_000), np.linspace(0, 16_000, 10), random.random(10))
        return (0.1 * swell * random.normal(size=16_000)).astype(np.float32)

    return lambda: (second(index) for index in range(seconds))


def live_bytes() -> int:
    """Held by tensors, arrays and everything else that was made since `gc.freeze` and `tracemalloc.start`."""
    gc.collect()
    # By type and not by isinstance, which asks objects for their class: some answer with a warning.
    tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
    return sum(storages.values()) + tracemalloc.get_traced_memory()[0]


def most_held(prepared: PreparedSource, seconds: int) -> int:
    """The most that sampling a recording holds between two windows, in bytes."""
    held = []
    gc.freeze()
    tracemalloc.start()
    for window in sample_motion(prepared.networks, prepared.source, babble(seconds), seconds * 25, seed=0):
        assert len(window)
        held.append(live_bytes())
    tracemalloc.stop()
    gc.unfreeze()
    return max(held)


def test_four_times_the_speech_takes_no_more_memory_to_sample(
    prepared: PreparedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One step instead of eight: what is held between windows does not depend on it.
    diffusion = prepared.networks.diffusion
    monkeypatch.setattr(diffusion, "params", replace(diffusion.params, steps=1))
    most_held(prepared, 5)
    half_a_minute_of_mel = 30 * 100 * 80 * 4
    assert most_held(prepared, 120) - most_held(prepared, 30) < half_a_minute_of_mel / 2


def test_windows_join_without_a_seam(prepared: PreparedSource) -> None:
    windows = [window.float() for window in sample_motion(prepared.networks, prepared.source, babble(60), 1500, seed=0)]
    steps = torch.cat(windows).diff(dim=0).norm(dim=1)
    # Between the last frame of one window and the first of the next.
    borders = torch.tensor([len(window) for window in windows[:-1]]).cumsum(0) - 1
    around = [steps[(borders + place).clamp_max(len(steps) - 1)].median() for place in range(-4, 13)]
    assert max(around) < 2.5 * steps.median(), "no frame at, before or after a border moves more than others"
    assert min(around) > 0.3 * steps.median(), "nor freezes"


def test_any_segment_rendered_by_another_actor_is_the_same_bits_as_in_the_whole(
    prepared: PreparedSource,
    networks: Networks,
    face: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(motion, "SEGMENT_FRAMES", 16)
    frames, path = 44, tmp_path / "motion.npy"
    with torch.inference_mode():
        assert list(prepared.store_motion(babble(2), frames, 0, path))[-1] == frames
        whole = torch.cat(list(prepared.render(path, range(frames), 8)))
        late = PreparedSource.from_crop(networks, face, CPU)
        for span in reversed(motion.segments(frames, networks.preset.render_batch)):
            assert torch.equal(torch.cat(list(late.render(path, span, 8))), whole[span.start : span.stop])
