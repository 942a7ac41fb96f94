"""Fixtures: the embedded stack with short leases, and the demo files."""

from __future__ import annotations

import os
import wave
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING

import av
import pytest
from tests.forks import PYTHON
from tests.integration.embedded.processes import eventually, running_in

from dubline.client import Client
from dubline.embedded import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.forks import Forks

#: Runs the command line with the service.
Dubline = Callable[..., CompletedProcess[str]]
DEMO = Path(__file__).parents[2] / "demo"
RATE_HZ = 22_050
SHORT_S = 0.8
SETTINGS = {
    # The networks of the default preset take seconds to load, at the start and after each kill.
    "DUBLINE_WORKER_PRESETS": "tiny",
    "DUBLINE_LEASE_DURATION_S": "6",
    "DUBLINE_LEASE_HEARTBEAT_S": "1",
    "DUBLINE_MAINTENANCE_CLEAN_S": "1",
}


@pytest.fixture(scope="package")
def stack(forks: Forks) -> Iterator[Stack]:
    """The running service; its graceful stop after the last test leaves no process and no folder."""
    with forks.embedded(), Stack(SETTINGS) as started:
        yield started
    eventually(lambda: not started.folder.exists() and not running_in(started.folder))


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.url, stack.key) as opened:
        yield opened


@pytest.fixture
def dubline(stack: Stack, forks: Forks) -> Dubline:
    def dubline(*words: object) -> CompletedProcess[str]:
        environ = {**os.environ, "DUBLINE_URL": stack.url, "DUBLINE_API_KEY": stack.key}
        return forks.run([*PYTHON, "dubline.client", *map(str, words)], environ, 240)

    return dubline


@pytest.fixture(scope="session")
def short_speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 0.8 s of the demo's English speech."""
    path = tmp_path_factory.mktemp("speech") / "short.wav"
    with av.open(DEMO / "speech/english.mp3") as container, wave.open(str(path), "wb") as out:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
        frames = (made for frame in container.decode(audio=0) for made in resampler.resample(frame))
        samples = b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in frames)
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(samples[: int(2 * RATE_HZ * SHORT_S)])
    return path


@pytest.fixture(scope="session")
def demo() -> Path:
    """The folder with the portraits and speech of the demo."""
    return DEMO
