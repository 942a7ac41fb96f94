"""One time-limited training session: learning-rate schedule, progress line, saved state."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import torch
from rich.console import Console
from torch import Tensor

from dubline.training import checkpoint, gradients
from dubline.training.cli_errors import UsageError
from dubline.training.curves import Curves, smoothed
from dubline.training.ema import Average

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import nn

WARMUP_STEPS: Final = 200
FINAL_SHARE: Final = 0.04
REPORT_S: Final = 10.0
#: Interval between saves: the most training time that a kill loses.
SAVE_S: Final = 120.0
#: Key prefixes that averages may lack: the supervision heads, and the network that is trained last.
HEADS: Final = ("geometry_head.", "landmark_head.")
OPTIONAL: Final = (*HEADS, "autoencoder.mouth_eye_refiner.")

Drawn = TypeVar("Drawn")


def training_device() -> torch.device:
    """Return the CUDA GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Session:
    """Optimises one network for `minutes` or for a budget of steps and saves its state to `path` regularly.

    The learning rate warms up, then falls as a cosine of the used share of the budget. Resuming restores weights,
    averages and optimiser moments and starts a new budget. Beside `path`, NAME.jsonl has one row per report, and
    NAME.curves.png shows them.

    Args:
        network: on its device; its parameters are optimised, frozen ones do not change.
        path: file of the state, NAME.pt.
        minutes: the time limit.
        budget: number of steps instead of a time limit: a comparison must not depend on the load of the machine.
        learning_rate: peak value.
        resume: continue from `path`. A state without an optimiser, or NAME.safetensors of `save_average` if NAME.pt is
            missing, restores the averages with fresh moments.
        start_from: averages to start from if there is nothing to resume: another session's state or released weights.
        prefix: of the network's keys in released weights (stage 2: `diffusion.`).
        optional: key prefixes that the weights to start from may lack.
        batch: samples per step; for the progress line.
        companions: further objects with a state_dict that are saved and restored, by name, such as an adversary.

    Raises:
        FileNotFoundError: there is nothing to resume or to start from.
        ValueError: the weights are of another network, or neither `minutes` nor `budget` is given.
    """

    def __init__(  # noqa: PLR0913 - independent options
        self,
        network: nn.Module,
        path: Path,
        *,
        minutes: float = math.inf,
        budget: int | None = None,
        learning_rate: float,
        resume: bool,
        start_from: Path | None = None,
        prefix: str = "",
        optional: Sequence[str] = OPTIONAL,
        batch: int = 0,
        companions: Mapping[str, Any] | None = None,
    ) -> None:
        if not math.isfinite(minutes) and not budget:
            raise UsageError("training needs a number of minutes or of steps")
        self.network, self.path, self.peak = network, path, learning_rate
        self.prefix, self.optional, self.batch, self.companions = prefix, optional, batch, companions or {}
        fused = next(network.parameters()).is_cuda
        self.optimiser = torch.optim.AdamW(
            network.parameters(), learning_rate, betas=(0.9, 0.98), weight_decay=0.02, fused=fused
        )
        self.average = Average(network)
        self.steps, self.trained_s = 0, 0.0
        # Prefixes of `optional` that the initial averages did not contain.
        self.untrained: list[str] = []
        self.figures: dict[str, float | Tensor] = {}
        self.console = Console()
        exported = path.with_suffix(".safetensors")
        if resume and not path.exists() and checkpoint.find_average(exported):
            self.steps = self._start_from(exported)
        elif resume and (path.exists() or start_from is None):
            self._resume()
        elif start_from is not None:
            self._start_from(start_from)
        self.curves = Curves(path, keep=resume)
        self.limit_s, self.budget, self.first_step = minutes * 60, budget, self.steps
        # Fresh moments need a warm-up, restored moments do not.
        self.warm_step = self.steps - (WARMUP_STEPS if self.optimiser.state else 0)
        self.waited_s = 0.0
        self.restart_clock()

    def _resume(self) -> None:
        if not self.path.exists():
            raise FileNotFoundError(f"there is no {self.path} to resume; start without --resume")
        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        if "optimiser" not in state:
            self.steps = self._start_from(self.path)
            return
        try:
            self.network.load_state_dict(state["network"])
            self.average.network.load_state_dict(state["average"])
        except RuntimeError as error:
            raise UsageError(f"{self.path} is of another network; --start-from loads the parts that fit") from error
        self.optimiser.load_state_dict(state["optimiser"])
        for name, companion in self.companions.items():
            if name in state.get("companions", {}):
                companion.load_state_dict(state["companions"][name])
        self.steps = state["steps"]
        # Of weights that were trained before, or whose warm-up was restarted, they are not the session's.
        self.average.steps = state.get("average_steps", self.steps)
        self.trained_s, self.figures = state.get("seconds", 0.0), dict(state.get("figures", {}))

    def _start_from(self, path: Path) -> int:
        """Load averages into the network and its average; return their number of training steps."""
        tensors, steps = checkpoint.read_average(path)
        kept = checkpoint.load_average(self.network, tensors, prefix=self.prefix, optional=self.optional)
        self.average.network.load_state_dict(self.network.state_dict())
        self.average.skip_warm_up()
        self.untrained = [part for part in self.optional if any(key.startswith(part) for key in kept)]
        also = f"; untrained: {', '.join(part.rstrip('.') for part in self.untrained)}" if self.untrained else ""
        self._print(f"starting from the averages in {path} (step {steps}), fresh optimiser{also}")
        return steps

    def save(self) -> None:
        """Write everything that resuming needs; a kill while writing keeps the older file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".part")
        state = {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "companions": {name: companion.state_dict() for name, companion in self.companions.items()},
            "steps": self.steps,
            "average_steps": self.average.steps,
            "figures": {key: float(value) for key, value in self.figures.items()},
            "seconds": self.trained_s + time.monotonic() - self.started,
        }
        torch.save(state, unfinished)
        unfinished.replace(self.path)
        if self.figures and self.curves.last_step != self.steps:
            self._write_curves(time.monotonic())
        self.curves.draw()
        self.saved = time.monotonic()

    def save_average(self, path: Path | None = None) -> list[Path]:
        """Export the average alone in fp16 to NAME.safetensors.

        Above 15 MB it is written in parts; all readers of averages accept both. Returns the paths of the files.
        """
        target = path or self.path.with_suffix(".safetensors")
        return checkpoint.save_average(self.average.network, target, prefix=self.prefix, steps=self.steps)

    @property
    def progress(self) -> float:
        """Used share of the budget, 0 to 1."""
        if self.budget is not None:
            return min(1.0, (self.steps - self.first_step) / self.budget)
        return min(1.0, (time.monotonic() - self.started) / self.limit_s)

    @property
    def finished(self) -> bool:
        """Whether the budget is used up."""
        return self.progress >= 1

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        warm = min(1.0, (self.steps - self.warm_step + 1) / WARMUP_STEPS)
        cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * self.progress)).item())
        return self.peak * warm * (FINAL_SHARE + (1 - FINAL_SHARE) * cosine)

    def restart_warm_up(self) -> None:
        """Restart the learning rate's warm-up: the parameters trained from now on have no moments yet."""
        self.warm_step = self.steps

    def restart_clock(self) -> None:
        """Start the time limit now: what was computed before the first step does not count."""
        self.started: float = time.monotonic()
        self.reported = self.saved = self.started
        # Time, steps and waiting seconds at the last report; rates are measured from there.
        self.last_report = (self.started, self.steps, self.waited_s)

    def fetch(self, draw: Callable[[], Drawn]) -> Drawn:
        """Call `draw` and count its time as waiting for data: `session.fetch(lambda: next(loader))`."""
        began = time.monotonic()
        drawn = draw()
        self.waited_s += time.monotonic() - began
        return drawn

    def step(self, loss: Tensor, **figures: float | Tensor) -> None:
        """Back-propagate, clip, update, average; report and save at intervals.

        Args:
            loss: a scalar.
            **figures: for the progress line and the curves. Pass tensors unread: reading a tensor waits for the GPU, so
                they are read once per report.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        grad_norm = gradients.limit(self.network.parameters())
        self.optimiser.step()
        self.average.update(self.network)
        self.steps += 1
        for key, value in {"loss": loss, **figures, "grad_norm": grad_norm}.items():
            self.figures[key] = smoothed(self.figures.get(key), value)
        self._report()

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def _report(self) -> None:
        now = time.monotonic()
        if now - self.reported >= REPORT_S:
            self.reported = now
            row = self._write_curves(now)
            figures = "  ".join(f"{key} {row[key]:.4f}" for key in self.figures)
            speed = f"lr {row['lr']:.1e}  {row['steps_per_s']:.2f} steps/s"
            speed += f"  {row['samples_per_s']:.1f} samples/s" if self.batch else ""
            speed += f"  data {row['data_share']:.0%}" if self.waited_s else ""
            self._print(f"step {self.steps}  {figures}  {speed}  {self._left()} left")
        if now - self.saved >= SAVE_S:
            self.save()

    def _left(self) -> str:
        if self.budget is not None:
            return f"{self.first_step + self.budget - self.steps} steps"
        return f"{(1 - self.progress) * self.limit_s / 60:.1f} min"

    def _write_curves(self, now: float) -> dict[str, float]:
        reported, steps, waited_s = self.last_report
        elapsed, self.last_report = max(now - reported, 1e-6), (now, self.steps, self.waited_s)
        rate = (self.steps - steps) / elapsed
        seconds = round(self.trained_s + now - self.started, 1)
        row = {"step": self.steps, "seconds": seconds, "lr": self.learning_rate}
        row |= {key: round(float(value), 6) for key, value in self.figures.items()}
        row |= {"steps_per_s": round(rate, 3), "samples_per_s": round(rate * self.batch, 2)}
        row["data_share"] = round((self.waited_s - waited_s) / elapsed, 4)
        self.curves.add(row)
        return row
