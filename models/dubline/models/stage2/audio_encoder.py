"""Speech encoders: the global extractor (style of a recording) and the local one (articulation in a slice of it)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from dubline.models.stage2.log_mel import BANDS
from dubline.models.stage2.mamba import Mamba2, MambaState

if TYPE_CHECKING:
    from dubline.models.presets import DiffusionParams

#: Log-mel frames per video frame.
MEL_PER_FRAME: Final = 4


class MambaBlock(nn.Module):
    """Pre-norm residual Mamba-2."""

    def __init__(self, width: int, params: DiffusionParams) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mixer = Mamba2(width, state=params.state, head_width=params.head_width)

    def forward(self, x: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        """Mix x (B, T, W), continuing from `state`."""
        mixed, state = self.mixer(self.norm(x), state)
        return x + mixed, state


class FrontEnd(nn.Module):
    """Log-mel (B, 4 T, BANDS) -> one vector per video frame (B, T, W), by a learned pooling to 25 fps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pool = nn.Sequential(nn.Linear(MEL_PER_FRAME * BANDS, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, mel: Tensor) -> Tensor:
        """Encode log-mel (B, 4 T, BANDS)."""
        features: Tensor = self.pool(rearrange(mel, "b (t m) f -> b t (m f)", m=MEL_PER_FRAME))
        return features


class StyleState(NamedTuple):
    """State of the global extractor between chunks of a recording."""

    states: tuple[MambaState, ...]
    """Of each Mamba-2 mixer."""
    total: Tensor
    """Sum of the outputs so far, (B, W)."""
    frames: int
    """Number of video frames so far."""


class GlobalExtractor(nn.Module):
    """A whole recording -> one style vector (B, Z), chunk by chunk in constant memory."""

    def __init__(self, params: DiffusionParams) -> None:
        super().__init__()
        width = self.width = params.audio_width
        self.front = FrontEnd(width)
        self.blocks = nn.ModuleList(MambaBlock(width, params) for _ in range(params.audio_layers))
        self.style = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, params.style))

    def start(self, batch: int) -> StyleState:
        """Return the state before the first chunk."""
        states = tuple(block.mixer.start(batch) for block in self._blocks())
        return StyleState(states, states[0].recent.new_zeros(batch, self.width), 0)

    def update(self, mel: Tensor, state: StyleState) -> StyleState:
        """Process the next log-mel (B, 4 T, BANDS)."""
        features = self.front(mel)
        states = []
        for block, before in zip(self._blocks(), state.states, strict=True):
            features, after = block(features, before)
            states.append(after)
        return StyleState(tuple(states), state.total + features.sum(1), state.frames + features.shape[1])

    def forward(self, state: StyleState) -> Tensor:
        """Compute the style (B, Z) of all chunks so far."""
        style: Tensor = self.style(state.total / max(1, state.frames))
        return style

    def _blocks(self) -> list[MambaBlock]:
        return [block for block in self.blocks if isinstance(block, MambaBlock)]


class NoStyle(nn.Module):
    """Replaces the global extractor in its ablation: a style without values."""

    def start(self, batch: int) -> StyleState:
        """Return the state before the first chunk."""
        return StyleState((), torch.zeros(batch, 0), 0)

    def update(self, mel: Tensor, state: StyleState) -> StyleState:
        """Ignore the chunk."""
        return state._replace(total=mel.new_zeros(len(mel), 0))

    def forward(self, state: StyleState) -> Tensor:
        """Return an empty style (B, 0)."""
        return state.total


class LocalExtractor(nn.Module):
    """The slice of speech around one window -> articulation per frame (B, T, W).

    Each layer runs forwards and backwards over the slice, because lips move before the sound. Without
    `uses_articulation` only the front end is left: the output of a frame depends on its own 40 ms only.
    """

    def __init__(self, params: DiffusionParams) -> None:
        super().__init__()
        width = params.audio_width
        self.margin = params.margin
        self.front = FrontEnd(width)
        layers = params.audio_layers if params.uses_articulation else 0
        self.forwards = nn.ModuleList(MambaBlock(width, params) for _ in range(layers))
        self.backwards = nn.ModuleList(MambaBlock(width, params) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, mel: Tensor) -> Tensor:
        """Encode log-mel (B, 4 (T + 2 margin), BANDS); frames of the margins are not returned."""
        features = self.front(mel)
        for ahead, back in zip(self.forwards, self.backwards, strict=True):
            features = self._both_ways(features, ahead, back)
        kept: Tensor = self.norm(features)[:, self.margin : features.shape[1] - self.margin]
        return kept

    @staticmethod
    def _both_ways(features: Tensor, ahead: nn.Module, back: nn.Module) -> Tensor:
        if not (isinstance(ahead, MambaBlock) and isinstance(back, MambaBlock)):
            raise TypeError("layers must be MambaBlock")
        start = ahead.mixer.start(len(features)), back.mixer.start(len(features))
        onward, _ = ahead(features, start[0])
        backward, _ = back(features.flip(1), start[1])
        both: Tensor = torch.stack([onward, backward.flip(1)]).mean(0)
        return both
