"""One time-boxed stretch of training: the clock that sets the learning rate, the progress line, the saved state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from dubline.training.ema import Average

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

WARMUP_STEPS = 200
FINAL_SHARE = 0.04
REPORT_S = 10.0


def training_device() -> torch.device:
    """The CUDA GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Session:
    """Optimises one network for `minutes`, saving state to `path` every few minutes and at the end.

    The learning rate warms up, then falls as a cosine of the elapsed share of the time box. Resuming continues
    weights, averages and optimiser moments, with a new time box.
    """

    def __init__(self, network: nn.Module, path: Path, *, minutes: float, learning_rate: float, resume: bool) -> None:
        self.network, self.path, self.peak = network, path, learning_rate
        self.optimiser = torch.optim.AdamW(network.parameters(), learning_rate, betas=(0.9, 0.98), weight_decay=0.02)
        self.average = Average(network)
        self.steps = 0
        self.console = Console()
        if resume:
            self._load()
        self.box_s = minutes * 60
        self.started = self.reported = self.saved = time.monotonic()
        self.first_step = self.steps
        self.smooth: dict[str, float] = {}

    def _load(self) -> None:
        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps = self.average.steps = state["steps"]

    def save(self) -> None:
        """Write everything that resuming needs; a kill while writing leaves the older file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".part")
        state = {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps,
        }
        torch.save(state, unfinished)
        unfinished.replace(self.path)
        self.saved = time.monotonic()

    @property
    def share(self) -> float:
        """How much of the time box is used, 0 to 1."""
        return min(1.0, (time.monotonic() - self.started) / self.box_s)

    @property
    def over(self) -> bool:
        """Whether the time box is used up."""
        return self.share >= 1

    def step(self, loss: Tensor, **figures: float) -> None:
        """Back-propagate, clip, update, average; report now and then."""
        warm = min(1.0, (self.steps + 1) / WARMUP_STEPS)
        cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * self.share)).item())
        for group in self.optimiser.param_groups:
            group["lr"] = self.peak * warm * (FINAL_SHARE + (1 - FINAL_SHARE) * cosine)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.network)
        self.steps += 1
        for key, value in {"loss": loss.item(), **figures}.items():
            self.smooth[key] = 0.98 * self.smooth.get(key, value) + 0.02 * value
        self._report()

    def _report(self) -> None:
        now = time.monotonic()
        if now - self.reported >= REPORT_S:
            self.reported = now
            rate = (self.steps - self.first_step) / (now - self.started)
            figures = "  ".join(f"{key} {value:.4f}" for key, value in self.smooth.items())
            left_min = (1 - self.share) * self.box_s / 60
            self.console.print(f"step {self.steps}  {figures}  {rate:.2f} steps/s  {left_min:.1f} min left")
        if now - self.saved >= 120:  # noqa: PLR2004 - two minutes of work is what a kill may cost
            self.save()
