"""Voice activity: the Silero VAD network for 16 kHz, version 6, whose weights are in the package `silero-vad` (MIT).

The network is the one of the package's `tinygrad_model.py`. Its windows are computed together, except for the recurrent
layer. The package itself is not imported: only its weights are read.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS: Final = "silero_vad/data/silero_vad_16k.safetensors"
SHA256: Final = "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1"
#: Samples of a window: 32 ms at 16 kHz.
WINDOW: Final = 512
#: Samples before a window that the network reads too.
CONTEXT: Final = 64
_STRIDE: Final = 128
_SPECTRUM: Final = 129
_STATE: Final = 128
#: Recordings are amplified to this peak, by at most 40 dB: the network misses the beginnings of quieter speech.
PEAK: Final = 0.05
GAIN: Final = 100.0
#: Windows that are computed together.
_BATCH: Final = 256


class VoiceNetwork(nn.Module):
    """Windows of samples -> probability of a voice in each."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * _SPECTRUM, 2 * _STRIDE, stride=_STRIDE, bias=False)
        self.conv1 = nn.Conv1d(_SPECTRUM, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(128, _STATE)
        self.final_conv = nn.Conv1d(_STATE, 1, 1)

    def forward(self, windows: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Compute the probability of each window, (N,), of windows (N, CONTEXT + WINDOW) that follow one another."""
        padded = F.pad(windows[:, None], (0, CONTEXT), mode="reflect")
        real, imaginary = self.stft_conv(padded).split(_SPECTRUM, dim=1)
        features = (real.square() + imaginary.square()).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = layer(features).relu()
        hidden = []
        for feature in features.squeeze(-1):
            state = self.lstm_cell(feature[None], state)
            hidden.append(state[0])
        probability: Tensor = self.final_conv(torch.cat(hidden)[:, :, None].relu()).sigmoid()
        return probability.flatten(), state


class VoiceActivity:
    """Probability of a voice in a stream of samples: constant memory, independent of the chunks."""

    def __init__(self) -> None:
        self._network = _network()
        self._held = np.zeros(CONTEXT, np.float32)
        self._state = (torch.zeros(1, _STATE), torch.zeros(1, _STATE))
        self._peak = torch.tensor(PEAK / GAIN)

    def update(self, samples: NDArray[np.float32]) -> Tensor:
        """Return the probabilities of the windows that `samples` complete, (n,); samples are at 16 kHz in [-1, 1]."""
        self._held = np.concatenate([self._held, samples])
        probabilities = []
        while count := min(_BATCH, (len(self._held) - CONTEXT) // WINDOW):
            used = torch.from_numpy(self._held[: CONTEXT + count * WINDOW])
            self._held = self._held[count * WINDOW :]
            found, self._state = self._network(self._amplified(used.unfold(0, CONTEXT + WINDOW, WINDOW)), self._state)
            probabilities.append(found)
        return torch.cat(probabilities) if probabilities else torch.zeros(0)

    def _amplified(self, windows: Tensor) -> Tensor:
        """Amplify windows (n, CONTEXT + WINDOW) by the peak of the recording so far."""
        peaks = torch.cat([self._peak[None], windows.abs().amax(-1)]).cummax(0).values[1:]
        self._peak = peaks[-1]
        return windows * (PEAK / peaks).clamp(min=1)[:, None]

    def finish(self) -> Tensor:
        """Return the probability of the last window, completed with zeros, (1,); (0,) if no sample is left."""
        left = len(self._held) - CONTEXT
        return self.update(np.zeros(WINDOW - left, np.float32)) if left else torch.zeros(0)


@cache
def _network() -> VoiceNetwork:
    """Load the network.

    Raises:
        RuntimeError: the package has other weights.
    """
    data = Path(str(distribution("silero-vad").locate_file(WEIGHTS))).read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise RuntimeError("the package silero-vad has other weights for 16 kHz; install version 6.2.3")
    network = VoiceNetwork()
    network.load_state_dict(load(data))
    return network.eval().requires_grad_(requires_grad=False)
