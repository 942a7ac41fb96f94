"""A voice: the English speech of the demo, 3.7 s at 16 kHz."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dubline.worker.media import audio, container

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPEECH = Path(__file__).parents[4] / "demo" / "speech" / "english.mp3"


@pytest.fixture(scope="session")
def voice() -> NDArray[np.float32]:
    with SPEECH.open("rb") as file:
        return np.concatenate(list(audio.samples(file, container.MP3, 16_000)))
